import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.time.Duration;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericRecord;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.Serializer;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Joined;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.KTable;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.Repartitioned;
import org.apache.kafka.streams.state.KeyValueStore;

/**
 * Two results of metrics, latest and gaps, exactly once. Values are JSON; keys are account/series.
 *
 * <ul>
 *   <li>{prefix}.series-state: the newest value of each series, with the newest gap of the series (gap.ended_at null:
 *       the value may be old). A retired series leaves by a tombstone.
 *   <li>{prefix}.metrics-with-gaps: every update once, with the gap that its epoch began with, if it was known by then.
 * </ul>
 *
 * <p>metrics and gaps are keyed by department, and a department has many series: both are re-keyed by account/series,
 * through the repartition topics metrics-by-series and gaps-by-series. --describe prints the topology.
 */
public final class SeriesState {
  static final ObjectMapper JSON = new ObjectMapper();
  static final String BOOTSTRAP = setting("KAFKA_BOOTSTRAP_SERVERS", "localhost:9092");
  static final String REGISTRY = setting("SCHEMA_REGISTRY_URL", "http://localhost:8081");
  static final String PREFIX = setting("PREFIX", "zendesk.chat");

  public static void main(String[] arguments) throws InterruptedException {
    Topology topology = topology();
    if (arguments.length == 1 && arguments[0].equals("--describe")) {
      System.out.print(topology.describe());
      return;
    }
    KafkaStreams streams = new KafkaStreams(topology, properties());
    CountDownLatch ended = new CountDownLatch(1);
    streams.setStateListener(
        (now, before) -> {
          if (now == KafkaStreams.State.ERROR || now == KafkaStreams.State.NOT_RUNNING) {
            ended.countDown();
          }
        });
    Runtime.getRuntime().addShutdownHook(new Thread(() -> streams.close(Duration.ofSeconds(10))));
    streams.start();
    ended.await();
    streams.close(Duration.ofSeconds(10));
  }

  static Properties properties() {
    Properties properties = new Properties();
    properties.put(StreamsConfig.APPLICATION_ID_CONFIG, PREFIX + ".series-state");
    properties.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, BOOTSTRAP);
    properties.put(StreamsConfig.STATE_DIR_CONFIG, setting("OUT", "/tmp/zendesk-chat") + "/streams");
    // Reads what is committed and commits what it writes together with its position.
    properties.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
    properties.put(StreamsConfig.consumerPrefix("auto.offset.reset"), "earliest");
    // Waits so long for the other side of a join before it goes on by time.
    properties.put(StreamsConfig.MAX_TASK_IDLE_MS_CONFIG, 1000L);
    return properties;
  }

  static Topology topology() {
    Serde<GenericRecord> avro = Serdes.serdeFrom(readOnly(), new FramedAvro(REGISTRY));
    Consumed<String, GenericRecord> consumed = Consumed.with(Serdes.String(), avro);
    StreamsBuilder builder = new StreamsBuilder();

    KTable<String, String> gaps =
        builder.stream(PREFIX + ".gaps", consumed.withTimestampExtractor((record, before) -> startOf(record)))
            .map((department, gap) -> pair(seriesOf(gap), json(gap)))
            .repartition(Repartitioned.with(Serdes.String(), Serdes.String()).withName("gaps-by-series"))
            .groupByKey(Grouped.with(Serdes.String(), Serdes.String()))
            .reduce(SeriesState::newer, store("gaps"));

    builder.stream(PREFIX + ".metrics", consumed)
        .map((department, update) -> pair(seriesOf(update), json(update)))
        .repartition(Repartitioned.with(Serdes.String(), Serdes.String()).withName("metrics-by-series"))
        .leftJoin(gaps, SeriesState::withGapOfEpoch, Joined.with(Serdes.String(), Serdes.String(), Serdes.String(), "with-gap"))
        .to(PREFIX + ".metrics-with-gaps", Produced.with(Serdes.String(), Serdes.String()));

    // latest is read as a stream of changes, so that a tombstone is a change as well.
    KStream<String, String> changes = builder.stream(PREFIX + ".latest", consumed).mapValues(SeriesState::json);
    changes
        .toTable(store("latest"))
        .leftJoin(gaps, SeriesState::withGap, store("state"))
        .toStream()
        .to(PREFIX + ".series-state", Produced.with(Serdes.String(), Serdes.String()));
    return builder.build();
  }

  static Materialized<String, String, KeyValueStore<Bytes, byte[]>> store(String name) {
    return Materialized.<String, String, KeyValueStore<Bytes, byte[]>>as(name)
        .withKeySerde(Serdes.String())
        .withValueSerde(Serdes.String());
  }

  /** A gap joins the updates behind it, so it counts from its start. */
  static long startOf(ConsumerRecord<Object, Object> record) {
    return (long) ((GenericRecord) record.value()).get("started_at");
  }

  static KeyValue<String, String> pair(String key, String value) {
    return KeyValue.pair(key, value);
  }

  static String seriesOf(GenericRecord value) {
    return value.get("account") + "/" + value.get("series");
  }

  /** Of an epoch the open gap comes first and the final one last; a later epoch replaces both. */
  static String newer(String before, String now) {
    return tree(now).get("epoch_after").asLong() >= tree(before).get("epoch_after").asLong() ? now : before;
  }

  static String withGap(String value, String gap) {
    ObjectNode state = tree(value);
    state.set("gap", gap == null ? null : tree(gap));
    return state.toString();
  }

  static String withGapOfEpoch(String value, String gap) {
    boolean same = gap != null && tree(gap).get("epoch_after").asLong() == tree(value).get("epoch").asLong();
    return withGap(value, same ? gap : null);
  }

  static ObjectNode tree(String text) {
    try {
      return (ObjectNode) JSON.readTree(text);
    } catch (JsonProcessingException error) {
      throw new IllegalStateException(error);
    }
  }

  /** A flat record as JSON: times are milliseconds. */
  static String json(GenericRecord value) {
    if (value == null) {
      return null;
    }
    ObjectNode row = JSON.createObjectNode();
    for (Schema.Field field : value.getSchema().getFields()) {
      Object content = value.get(field.pos());
      row.set(field.name(), JSON.valueToTree(content instanceof CharSequence ? content.toString() : content));
    }
    return row.toString();
  }

  static Serializer<GenericRecord> readOnly() {
    return (topic, value) -> {
      throw new UnsupportedOperationException("nothing is written as Avro");
    };
  }

  static String setting(String name, String otherwise) {
    return System.getenv().getOrDefault(name, otherwise);
  }
}
