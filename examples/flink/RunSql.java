import java.nio.file.Files;
import java.nio.file.Path;
import java.time.LocalDateTime;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.configuration.MemorySize;
import org.apache.flink.configuration.RestartStrategyOptions;
import org.apache.flink.configuration.TaskManagerOptions;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.ObjectMapper;
import org.apache.flink.table.api.EnvironmentSettings;
import org.apache.flink.table.api.TableEnvironment;
import org.apache.flink.table.api.TableResult;
import org.apache.flink.types.Row;
import org.apache.flink.util.CloseableIterator;

/**
 * Runs files of SQL in this process, one statement after another, with ${NAME:-default} taken from the environment.
 * INSERTs and SELECTs run side by side, and the program ends with the last of them. A SELECT prints its changes as
 * JSON, one a line: op is +I, -U, +U or -D.
 */
public final class RunSql {
  private static final ObjectMapper JSON = new ObjectMapper();
  private static final Pattern VARIABLE = Pattern.compile("\\$\\{(\\w+)(?::-([^}]*))?}");

  public static void main(String[] files) throws Exception {
    Configuration configuration = new Configuration();
    configuration.setString("parallelism.default", System.getenv().getOrDefault("PARALLELISM", "1"));
    configuration.set(TaskManagerOptions.NETWORK_MEMORY_MAX, MemorySize.ofMebiBytes(64));
    configuration.set(TaskManagerOptions.NETWORK_MEMORY_MIN, MemorySize.ofMebiBytes(64));
    configuration.set(TaskManagerOptions.MANAGED_MEMORY_SIZE, MemorySize.ofMebiBytes(128));
    configuration.set(RestartStrategyOptions.RESTART_STRATEGY, "disable");
    configuration.setString("table.local-time-zone", "UTC");
    TableEnvironment flink =
        TableEnvironment.create(
            EnvironmentSettings.newInstance().inStreamingMode().withConfiguration(configuration).build());
    List<CompletableFuture<?>> running = new ArrayList<>();
    ExecutorService threads = Executors.newCachedThreadPool();
    for (String file : files) {
      for (String statement : statements(Files.readString(Path.of(file)))) {
        TableResult result = flink.executeSql(statement);
        if (statement.startsWith("SELECT")) {
          running.add(CompletableFuture.runAsync(() -> print(result), threads));
        } else if (result.getJobClient().isPresent()) {
          running.add(result.getJobClient().get().getJobExecutionResult());
        }
      }
    }
    // The first that fails ends all.
    CompletableFuture<?> failed = new CompletableFuture<>();
    running.forEach(one -> one.exceptionally(error -> fail(failed, error)));
    try {
      CompletableFuture.anyOf(failed, CompletableFuture.allOf(running.toArray(CompletableFuture[]::new))).get();
    } catch (ExecutionException error) {
      error.getCause().printStackTrace();
      System.exit(1);
    }
    threads.shutdown();
  }

  static <T> T fail(CompletableFuture<?> failed, Throwable error) {
    failed.completeExceptionally(error);
    return null;
  }

  static void print(TableResult result) {
    List<String> names = result.getResolvedSchema().getColumnNames();
    try (CloseableIterator<Row> rows = result.collect()) {
      while (rows.hasNext()) {
        Row row = rows.next();
        Map<String, Object> line = new LinkedHashMap<>();
        line.put("op", row.getKind().shortString());
        for (int at = 0; at < names.size(); at++) {
          Object field = row.getField(at);
          line.put(names.get(at), field instanceof LocalDateTime ? field.toString() : field);
        }
        System.out.println(JSON.writeValueAsString(line));
      }
    } catch (Exception error) {
      throw new IllegalStateException(error);
    }
  }

  /** Statements without comments, variables filled in. */
  static List<String> statements(String text) {
    String code = text.replaceAll("(?m)^\\s*--.*$", "");
    Matcher matcher = VARIABLE.matcher(code);
    String filled =
        matcher.replaceAll(
            found -> {
              String value = System.getenv(found.group(1));
              String chosen = value != null ? value : found.group(2);
              if (chosen == null) {
                throw new IllegalArgumentException(found.group(1) + " is not set");
              }
              return Matcher.quoteReplacement(chosen);
            });
    List<String> statements = new ArrayList<>();
    for (String part : filled.split(";\\s*(\\n|$)")) {
      if (!part.isBlank()) {
        statements.add(part.strip());
      }
    }
    return statements;
  }
}
