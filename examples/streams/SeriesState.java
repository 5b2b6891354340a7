import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.time.Duration;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericRecord;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.Serializer;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.CloseOptions;
import org.apache.kafka.streams.CloseOptions.GroupMembershipOperation;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.KTable;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Named;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.Repartitioned;
import org.apache.kafka.streams.state.KeyValueStore;

/**
 * Two results of metrics, latest and gaps, exactly once. Values are JSON; keys are account/series.
 *
 * <ul>
 *   <li>{prefix}.series-state: the newest value of each series, with the newest gap of the series (gap.ended_at null:
 *       the value may be old). A retired series leaves by a tombstone.
 *   <li>{prefix}.metrics-with-gaps: every update once, with the gap that its epoch began with; see WithGap.
 * </ul>
 *
 * <p>metrics and gaps are keyed by department, and a department has many series: both are re-keyed by account/series,
 * through the repartition topics metrics-and-gaps-by-series and gaps-by-series. --describe prints the topology.
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
    // Left without a word, the group would wait for its member for 45 s before the next start gets its partitions.
    CloseOptions leaving = CloseOptions.groupMembershipOperation(GroupMembershipOperation.LEAVE_GROUP);
    Runtime.getRuntime()
        .addShutdownHook(new Thread(() -> streams.close(leaving.withTimeout(Duration.ofSeconds(10)))));
    streams.start();
    ended.await();
    if (streams.state() == KafkaStreams.State.ERROR) {
      System.exit(1);
    }
  }

  static Properties properties() {
    Properties properties = new Properties();
    properties.put(StreamsConfig.APPLICATION_ID_CONFIG, PREFIX + ".series-state");
    properties.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, BOOTSTRAP);
    properties.put(StreamsConfig.STATE_DIR_CONFIG, setting("OUT", "/tmp/zendesk-chat") + "/streams");
    // Reads what is committed and commits what it writes together with its position.
    properties.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
    properties.put(StreamsConfig.consumerPrefix("auto.offset.reset"), "earliest");
    return properties;
  }

  static Topology topology() {
    Serde<GenericRecord> avro = Serdes.serdeFrom(readOnly(), new FramedAvro(REGISTRY));
    Consumed<String, GenericRecord> consumed = Consumed.with(Serdes.String(), avro);
    StreamsBuilder builder = new StreamsBuilder();

    KStream<String, String> gaps = keyedBySeries(builder.stream(PREFIX + ".gaps", consumed));
    KStream<String, String> updates = keyedBySeries(builder.stream(PREFIX + ".metrics", consumed));

    // One topic for both, so that an update and its gap meet in one task, however many partitions there are.
    Duration grace = Duration.ofSeconds(Long.parseLong(setting("GRACE_SECONDS", "30")));
    updates
        .merge(gaps)
        .repartition(named("metrics-and-gaps-by-series"))
        .process(WithGap.after(grace), Named.as("with-gap"))
        .to(PREFIX + ".metrics-with-gaps", Produced.with(Serdes.String(), Serdes.String()));

    // This one gets as many partitions as latest, which is joined with it.
    KTable<String, String> newestGaps =
        gaps.repartition(named("gaps-by-series"))
            .groupByKey(Grouped.with(Serdes.String(), Serdes.String()))
            .reduce(SeriesState::newer, store("gaps"));

    // latest is read as a stream of changes, so that a tombstone is a change as well.
    KStream<String, String> changes = builder.stream(PREFIX + ".latest", consumed).mapValues(SeriesState::json);
    changes
        .toTable(store("latest"))
        .leftJoin(newestGaps, SeriesState::withGap, store("state"))
        .toStream()
        .to(PREFIX + ".series-state", Produced.with(Serdes.String(), Serdes.String()));
    return builder.build();
  }

  static Materialized<String, String, KeyValueStore<Bytes, byte[]>> store(String name) {
    return Materialized.<String, String, KeyValueStore<Bytes, byte[]>>as(name)
        .withKeySerde(Serdes.String())
        .withValueSerde(Serdes.String());
  }

  /** Re-keyed from department to account/series, as JSON. */
  static KStream<String, String> keyedBySeries(KStream<String, GenericRecord> byDepartment) {
    return byDepartment.map((department, row) -> KeyValue.pair(seriesOf(row), json(row)));
  }

  static Repartitioned<String, String> named(String topic) {
    return Repartitioned.with(Serdes.String(), Serdes.String()).withName(topic);
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
