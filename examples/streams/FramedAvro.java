import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.ByteBuffer;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.io.DecoderFactory;
import org.apache.kafka.common.errors.SerializationException;
import org.apache.kafka.common.serialization.Deserializer;

/** A zero byte, the schema id in four bytes, then Avro; the schema of each id is asked for once. */
final class FramedAvro implements Deserializer<GenericRecord> {
  private static final ObjectMapper JSON = new ObjectMapper();
  private static final HttpClient HTTP = HttpClient.newHttpClient();

  private final String registry;
  private final Map<Integer, GenericDatumReader<GenericRecord>> readers = new ConcurrentHashMap<>();

  FramedAvro(String registry) {
    this.registry = registry;
  }

  @Override
  public GenericRecord deserialize(String topic, byte[] bytes) {
    if (bytes == null) {
      return null;
    }
    ByteBuffer frame = ByteBuffer.wrap(bytes);
    if (bytes.length < 5 || frame.get() != 0) {
      throw new SerializationException(topic + ": a value without the frame of a schema registry");
    }
    try {
      var decoder = DecoderFactory.get().binaryDecoder(bytes, 5, bytes.length - 5, null);
      return readers.computeIfAbsent(frame.getInt(), this::reader).read(null, decoder);
    } catch (IOException error) {
      throw new SerializationException(topic + ": " + error.getMessage(), error);
    }
  }

  private GenericDatumReader<GenericRecord> reader(int id) {
    HttpRequest request = HttpRequest.newBuilder(URI.create(registry + "/schemas/ids/" + id)).build();
    try {
      HttpResponse<String> answer = HTTP.send(request, HttpResponse.BodyHandlers.ofString());
      JsonNode body = JSON.readTree(answer.body());
      if (answer.statusCode() != 200) {
        throw new SerializationException(request.uri() + " answers " + answer.statusCode() + " " + body);
      }
      return new GenericDatumReader<>(new Schema.Parser().parse(body.get("schema").asText()));
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    } catch (InterruptedException error) {
      Thread.currentThread().interrupt();
      throw new SerializationException(error);
    }
  }
}
