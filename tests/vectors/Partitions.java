import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.ArrayList;
import org.apache.kafka.clients.producer.internals.BuiltInPartitioner;

/**
 * Prints, for each key, the partition that Kafka's own Java producer gives it among 1, 2, … 64 partitions.
 *
 * <p>{@code java -cp "$(ls -d ~/.cache/zendesk-chat-kafka/kafka-* | head -1)/*" tests/vectors/Partitions.java}
 */
public class Partitions {
    public static void main(String[] args) {
        for (String key : keys()) {
            StringBuilder line = new StringBuilder(key).append('\t');
            for (int partitions = 1; partitions <= 64; partitions++) {
                byte[] bytes = key.getBytes(StandardCharsets.UTF_8);
                line.append(partitions == 1 ? "" : " ");
                line.append(BuiltInPartitioner.partitionForKey(bytes, partitions));
            }
            System.out.println(line);
        }
    }

    private static List<String> keys() {
        List<String> keys = new ArrayList<>(List.of("all", "unknown", "acme/0", "acme/63", "acme/#shard", "Ünïcode/éàü"));
        for (int id = 0; id < 60; id++) {
            keys.add(Integer.toString(id));
        }
        for (long id = 36000012345600L; id < 36000012345660L; id++) {
            keys.add(Long.toString(id));
        }
        keys.add(Long.toString(Long.MAX_VALUE));
        for (String metric : List.of("chats.missed_chats|30|", "chats.active_chats||", "agents.agents_online||5")) {
            keys.add("acme/" + metric);
            keys.add("a/" + metric + "36000012345683");
        }
        return keys;
    }
}
