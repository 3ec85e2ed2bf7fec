// A plain consumer of partition 0 of a topic, which measures the delay of records.
// Arguments: bootstrap, topic. For each number on a line of stdin, it reads that many records and prints the 50th and
// the 99th percentile of their delays in microseconds. A delay is the time from the timestamp in the record (16 digits
// after a '#') to its arrival.

import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Scanner;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

class PlainConsumer {
    public static void main(String[] arguments) {
        // The same fetch settings as Curlew.
        Map<String, Object> settings = Map.of(
            "bootstrap.servers", arguments[0],
            "isolation.level", "read_committed",
            "fetch.min.bytes", 1,
            "fetch.max.wait.ms", 500,
            "max.partition.fetch.bytes", 1 << 20,
            "key.deserializer", ByteArrayDeserializer.class,
            "value.deserializer", ByteArrayDeserializer.class);
        try (var consumer = new KafkaConsumer<byte[], byte[]>(settings); var asked = new Scanner(System.in)) {
            var partition = new TopicPartition(arguments[1], 0);
            consumer.assign(List.of(partition));
            consumer.seekToEnd(List.of(partition));
            consumer.position(partition);
            System.out.println("ready");
            while (asked.hasNextInt()) {
                long[] delays = delays(consumer, asked.nextInt());
                Arrays.sort(delays);
                int last = delays.length - 1;
                System.out.println(delays[Math.round(last * 0.5f)] + " " + delays[Math.round(last * 0.99f)]);
            }
        }
    }

    static long[] delays(KafkaConsumer<byte[], byte[]> consumer, int many) {
        long[] delays = new long[many];
        for (int filled = 0; filled < many;) {
            var records = consumer.poll(Duration.ofSeconds(1));
            long arrived = ChronoUnit.MICROS.between(Instant.EPOCH, Instant.now());
            for (var record : records) {
                String value = new String(record.value(), StandardCharsets.ISO_8859_1);
                int mark = value.indexOf('#');
                delays[filled++] = arrived - Long.parseLong(value, mark + 1, mark + 17, 10);
            }
        }
        return delays;
    }
}
