import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.time.Duration;
import java.util.HashMap;
import java.util.Map;
import java.util.Set;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.processor.PunctuationType;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.ProcessorSupplier;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueIterator;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.StoreBuilder;
import org.apache.kafka.streams.state.Stores;

/**
 * Gives every update the gap that its epoch began with, whichever of the two is read first. Both are keyed by series.
 *
 * <p>Every epoch but the first began with a gap, and its final record was committed together with the epoch. So an
 * update of a later epoch waits for it, and what follows in its series waits behind it. Once no gap was read for the
 * time of grace, it is taken to exist no more (gaps are kept for a time, too), and the update goes on without.
 */
final class WithGap implements Processor<String, String, String, String> {
  private static final String GAPS = "gaps-of-epochs";
  private static final String WAITING = "waiting-updates";

  private final long graceMs;
  private final Map<String, Long> waitingSince = new HashMap<>();
  private ProcessorContext<String, String> context;
  private KeyValueStore<String, String> gaps;
  private KeyValueStore<String, String> waiting;
  private long gapReadAt;

  private WithGap(Duration grace) {
    graceMs = grace.toMillis();
  }

  static ProcessorSupplier<String, String, String, String> after(Duration grace) {
    return new ProcessorSupplier<>() {
      @Override
      public Processor<String, String, String, String> get() {
        return new WithGap(grace);
      }

      @Override
      public Set<StoreBuilder<?>> stores() {
        return Set.of(store(GAPS), store(WAITING));
      }
    };
  }

  private static StoreBuilder<KeyValueStore<String, String>> store(String name) {
    return Stores.keyValueStoreBuilder(Stores.inMemoryKeyValueStore(name), Serdes.String(), Serdes.String());
  }

  @Override
  public void init(ProcessorContext<String, String> context) {
    this.context = context;
    gaps = context.getStateStore(GAPS);
    waiting = context.getStateStore(WAITING);
    gapReadAt = context.currentSystemTimeMs();
    // What was waiting when the program ended waits anew.
    try (KeyValueIterator<String, String> updates = waiting.all()) {
      updates.forEachRemaining(update -> waitingSince.put(seriesOf(update.key), gapReadAt));
    }
    context.schedule(Duration.ofSeconds(1), PunctuationType.WALL_CLOCK_TIME, this::giveUp);
  }

  @Override
  public void process(Record<String, String> record) {
    JsonNode row = SeriesState.tree(record.value());
    if (!row.has("gap_id")) {
      waiting.put(place(record.key(), row.get("sequence").asLong()), record.value());
    } else {
      gapReadAt = context.currentSystemTimeMs();
      if (!row.get("ended_at").isNull()) {
        gaps.put(place(record.key(), row.get("epoch_after").asLong()), record.value());
      }
    }
    release(record.key(), false);
  }

  private void giveUp(long now) {
    for (Map.Entry<String, Long> one : Map.copyOf(waitingSince).entrySet()) {
      if (now - Math.max(one.getValue(), gapReadAt) >= graceMs) {
        release(one.getKey(), true);
      }
    }
  }

  /** Forwards the updates of a series in their order, up to the first that has to wait for its gap. */
  private void release(String series, boolean without) {
    try (KeyValueIterator<String, String> updates = all(waiting, series, Long.MAX_VALUE)) {
      while (updates.hasNext()) {
        KeyValue<String, String> next = updates.next();
        ObjectNode update = SeriesState.tree(next.value);
        long epoch = update.get("epoch").asLong();
        String gap = gaps.get(place(series, epoch));
        if (gap == null && epoch > 1 && !without) {
          waitingSince.putIfAbsent(series, context.currentSystemTimeMs());
          return;
        }
        context.forward(
            new Record<>(series, SeriesState.withGap(next.value, gap), update.get("received_at").asLong()));
        waiting.delete(next.key);
        forget(series, epoch - 1);
      }
    }
    waitingSince.remove(series);
  }

  /** Epochs only grow, so nobody asks for these gaps again. */
  private void forget(String series, long epoch) {
    try (KeyValueIterator<String, String> old = all(gaps, series, epoch)) {
      old.forEachRemaining(gap -> gaps.delete(gap.key));
    }
  }

  private static KeyValueIterator<String, String> all(KeyValueStore<String, String> store, String series, long last) {
    return store.range(place(series, 0), place(series, last));
  }

  /** Places of one series are in the order of their numbers. */
  private static String place(String series, long number) {
    return "%s %019d".formatted(series, number);
  }

  private static String seriesOf(String place) {
    return place.substring(0, place.lastIndexOf(' '));
  }
}
