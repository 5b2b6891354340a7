import java.io.File;
import org.apache.avro.Schema;
import org.apache.avro.SchemaCompatibility;

/** Prints, for each pair of files (reader, writer), whether Avro can resolve one with the other. */
public class Judge {
    public static void main(String[] files) throws Exception {
        for (String reader : files) {
            for (String writer : files) {
                Schema.Parser readers = new Schema.Parser();
                Schema.Parser writers = new Schema.Parser();
                var verdict = SchemaCompatibility.checkReaderWriterCompatibility(
                        readers.parse(new File(reader)), writers.parse(new File(writer)));
                System.out.println(reader + "\t" + writer + "\t" + verdict.getType());
            }
        }
    }
}
