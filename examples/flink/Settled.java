import java.time.LocalDateTime;
import java.util.ArrayDeque;
import org.apache.flink.table.annotation.DataTypeHint;
import org.apache.flink.table.functions.ScalarFunction;

/**
 * The time of the newest heartbeat that was read at least 5 s ago; null until there is one, and then no watermark.
 *
 * <p>Flink gives each Kafka partition a watermark generator of its own, and with it an instance of this function.
 */
public final class Settled extends ScalarFunction {
  private static final long SETTLE_NANOS = 5_000_000_000L;

  private record Beat(long readAt, LocalDateTime through) {}

  private transient ArrayDeque<Beat> waiting;
  private transient LocalDateTime settled;

  public @DataTypeHint("TIMESTAMP(3)") LocalDateTime eval(@DataTypeHint("TIMESTAMP(3)") LocalDateTime through) {
    if (waiting == null) {
      waiting = new ArrayDeque<>();
    }
    long now = System.nanoTime();
    waiting.add(new Beat(now, through));
    while (!waiting.isEmpty() && now - waiting.peek().readAt() >= SETTLE_NANOS) {
      settled = waiting.poll().through();
    }
    return settled;
  }

  @Override
  public boolean isDeterministic() {
    return false;
  }
}
