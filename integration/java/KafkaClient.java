import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Base64;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewPartitionReassignment;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.ElectionType;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.acl.AccessControlEntry;
import org.apache.kafka.common.acl.AccessControlEntryFilter;
import org.apache.kafka.common.acl.AclBinding;
import org.apache.kafka.common.acl.AclBindingFilter;
import org.apache.kafka.common.acl.AclOperation;
import org.apache.kafka.common.acl.AclPermissionType;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.quota.ClientQuotaAlteration;
import org.apache.kafka.common.quota.ClientQuotaEntity;
import org.apache.kafka.common.resource.PatternType;
import org.apache.kafka.common.resource.ResourcePattern;
import org.apache.kafka.common.resource.ResourcePatternFilter;
import org.apache.kafka.common.resource.ResourceType;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.utils.Utils;

/**
 * Kafka's Java client as a server for the tests: reads one JSON command per line from stdin and writes one response per
 * line to stdout, with the same id. Starting a JVM takes a second or two, so the tests share one.
 *
 * <p>Keys, values and header values are null, a string (UTF-8) or {"b64": "..."}; responses contain base64 or null.
 */
public class KafkaClient {
    static final ObjectMapper JSON = new ObjectMapper();
    static final Map<String, Admin> ADMINS = new ConcurrentHashMap<>();
    static final Map<String, KafkaProducer<byte[], byte[]>> PRODUCERS = new ConcurrentHashMap<>();
    /** Padding by length, shared by many records. */
    static final Map<Integer, byte[]> ZEROS = new ConcurrentHashMap<>();

    public static void main(String[] args) throws Exception {
        var answers = System.out;
        System.setOut(new PrintStream(System.err));
        var threads = Executors.newCachedThreadPool();
        var commands = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line; (line = commands.readLine()) != null; ) {
            JsonNode command = JSON.readTree(line);
            threads.submit(() -> {
                ObjectNode answer = JSON.createObjectNode();
                answer.set("id", command.get("id"));
                try {
                    answer.set("ok", run(command));
                } catch (Throwable failure) {
                    Throwable cause = failure.getCause() == null ? failure : failure.getCause();
                    answer.put("error", cause.toString());
                }
                synchronized (answers) {
                    answers.println(answer);
                    answers.flush();
                }
            });
        }
        System.exit(0);
    }

    static JsonNode run(JsonNode c) throws Exception {
        String topic = c.path("topic").asText();
        return switch (c.get("do").asText()) {
            case "ready" -> ready(c);
            case "close_admin" -> {
                var admin = ADMINS.remove(c.get("bootstrap").asText());
                if (admin != null) admin.close(Duration.ZERO);
                yield JSON.nullNode();
            }
            case "create" -> create(c, topic);
            case "delete" -> {
                admin(c).deleteTopics(List.of(topic)).all().get();
                yield JSON.nullNode();
            }
            case "partitions" -> {
                admin(c).createPartitions(Map.of(topic, NewPartitions.increaseTo(c.get("total").asInt()))).all().get();
                yield JSON.nullNode();
            }
            case "delete_records" -> {
                var place = new TopicPartition(topic, c.get("partition").asInt());
                var before = RecordsToDelete.beforeOffset(c.get("before").asLong());
                admin(c).deleteRecords(Map.of(place, before)).all().get();
                yield JSON.nullNode();
            }
            case "allow" -> {
                var entry = new AccessControlEntry(c.get("principal").asText(), "*",
                        AclOperation.fromString(c.get("operation").asText()), AclPermissionType.ALLOW);
                var pattern = new ResourcePattern(ResourceType.TOPIC, topic, PatternType.LITERAL);
                admin(c).createAcls(List.of(new AclBinding(pattern, entry))).all().get();
                yield JSON.nullNode();
            }
            case "forbid" -> {
                var entry = new AccessControlEntryFilter(c.get("principal").asText(), null,
                        AclOperation.ANY, AclPermissionType.ANY);
                var pattern = new ResourcePatternFilter(ResourceType.TOPIC, topic, PatternType.LITERAL);
                admin(c).deleteAcls(List.of(new AclBindingFilter(pattern, entry))).all().get();
                yield JSON.nullNode();
            }
            case "leaders" -> leaders(c, topic);
            case "controller" -> JSON.valueToTree(admin(c).describeMetadataQuorum().quorumInfo().get().leaderId());
            case "quota" -> {
                var client = new ClientQuotaEntity(Map.of(ClientQuotaEntity.CLIENT_ID, c.get("client").asText()));
                var rate = new ClientQuotaAlteration.Op("producer_byte_rate", c.get("rate").asDouble());
                admin(c).alterClientQuotas(List.of(new ClientQuotaAlteration(client, List.of(rate)))).all().get();
                yield JSON.nullNode();
            }
            case "isr" -> isr(c, topic);
            case "move_leaders" -> moveLeaders(c, topic);
            case "produce" -> produce(c, topic);
            case "transaction" -> transaction(c, topic);
            case "consume" -> consume(c, topic);
            case "partitions_for" -> partitionsFor(c);
            default -> throw new IllegalArgumentException("no such command: " + c);
        };
    }

    static Admin admin(JsonNode c) {
        return ADMINS.computeIfAbsent(c.get("bootstrap").asText(), at -> Admin.create(Map.<String, Object>of(
                "bootstrap.servers", at, "request.timeout.ms", "10000", "default.api.timeout.ms", "30000")));
    }

    /** Returns the number of brokers, once at least as many as requested have registered. Uses a new client, which does not back off. */
    static JsonNode ready(JsonNode c) throws Exception {
        Map<String, Object> config = Map.of("bootstrap.servers", c.get("bootstrap").asText(),
                "request.timeout.ms", "2000", "default.api.timeout.ms", "3000");
        try (var admin = Admin.create(config)) {
            int up = admin.describeCluster().nodes().get(4, TimeUnit.SECONDS).size();
            if (up < c.get("brokers").asInt()) throw new IllegalStateException(up + " brokers are up");
            return JSON.valueToTree(up);
        }
    }

    static JsonNode create(JsonNode c, String topic) throws Exception {
        NewTopic asked;
        if (c.hasNonNull("assignment")) {
            var assignment = new HashMap<Integer, List<Integer>>();
            for (JsonNode replicas : c.get("assignment")) {
                var nodes = new ArrayList<Integer>();
                replicas.forEach(n -> nodes.add(n.asInt()));
                assignment.put(assignment.size(), nodes);
            }
            asked = new NewTopic(topic, assignment);
        } else {
            asked = new NewTopic(topic, c.get("partitions").asInt(), (short) 1);
        }
        var config = new HashMap<String, String>();
        c.path("config").fields().forEachRemaining(e -> config.put(e.getKey(), e.getValue().asText()));
        admin(c).createTopics(List.of(asked.configs(config))).all().get();
        for (int i = 0; i < 200; i++) {
            try {
                return leaders(c, topic);
            } catch (Exception notYet) {
                Thread.sleep(20);
            }
        }
        throw new IllegalStateException("topic " + topic + " got no leaders");
    }

    static JsonNode leaders(JsonNode c, String topic) throws Exception {
        ArrayNode leaders = JSON.createArrayNode();
        for (var p : admin(c).describeTopics(List.of(topic)).allTopicNames().get().get(topic).partitions()) {
            if (p.leader() == null || p.leader().id() < 0) throw new IllegalStateException("no leader");
            leaders.add(p.leader().id());
        }
        return leaders;
    }

    /** Returns the in-sync replicas of each partition. */
    static JsonNode isr(JsonNode c, String topic) throws Exception {
        ArrayNode isr = JSON.createArrayNode();
        for (var p : admin(c).describeTopics(List.of(topic)).allTopicNames().get().get(topic).partitions()) {
            ArrayNode nodes = isr.addArray();
            p.isr().forEach(node -> nodes.add(node.id()));
        }
        return isr;
    }

    /** Reassigns the partitions to the replicas in "assignment", and elects the first replica of each as its leader. */
    static JsonNode moveLeaders(JsonNode c, String topic) throws Exception {
        var moves = new HashMap<TopicPartition, java.util.Optional<NewPartitionReassignment>>();
        for (JsonNode replicas : c.get("assignment")) {
            var nodes = new ArrayList<Integer>();
            replicas.forEach(n -> nodes.add(n.asInt()));
            moves.put(new TopicPartition(topic, moves.size()),
                    java.util.Optional.of(new NewPartitionReassignment(nodes)));
        }
        admin(c).alterPartitionReassignments(moves).all().get();
        while (!admin(c).listPartitionReassignments(moves.keySet()).reassignments().get().isEmpty()) Thread.sleep(50);
        var elected = admin(c).electLeaders(ElectionType.PREFERRED, moves.keySet()).partitions().get();
        return JSON.valueToTree(elected.size());
    }

    static byte[] bytes(JsonNode n) {
        if (n == null || n.isNull() || n.isMissingNode()) return null;
        if (n.isTextual()) return n.asText().getBytes(StandardCharsets.UTF_8);
        if (n.has("zeros")) return ZEROS.computeIfAbsent(n.get("zeros").asInt(), byte[]::new);
        return Base64.getDecoder().decode(n.get("b64").asText());
    }

    static JsonNode b64(byte[] bytes) {
        return bytes == null ? JSON.nullNode() : JSON.valueToTree(Base64.getEncoder().encodeToString(bytes));
    }

    static List<ProducerRecord<byte[], byte[]>> records(JsonNode c, String topic) {
        var records = new ArrayList<ProducerRecord<byte[], byte[]>>();
        for (JsonNode r : c.get("records")) {
            var headers = new ArrayList<Header>();
            for (JsonNode h : r.path("headers")) headers.add(new RecordHeader(h.get(0).asText(), bytes(h.get(1))));
            Integer partition = r.hasNonNull("partition") ? r.get("partition").asInt() : null;
            Long timestamp = r.hasNonNull("timestamp") ? r.get("timestamp").asLong() : null;
            records.add(new ProducerRecord<>(topic, partition, timestamp, bytes(r.get("key")), bytes(r.get("value")),
                    headers));
        }
        return records;
    }

    static Properties producerConfig(JsonNode c) {
        var config = new Properties();
        config.put("bootstrap.servers", c.get("bootstrap").asText());
        config.put("compression.type", c.path("compression").asText("none"));
        config.put("linger.ms", "5");
        // Applies before compression.
        config.put("max.request.size", "100000000");
        config.put("buffer.memory", "110000000");
        return config;
    }

    static KafkaProducer<byte[], byte[]> producer(Properties config) {
        return new KafkaProducer<>(config, new ByteArraySerializer(), new ByteArraySerializer());
    }

    static JsonNode produce(JsonNode c, String topic) throws Exception {
        var config = producerConfig(c);
        // One producer per topic: while an idempotent producer retries for one topic, it blocks all its topics.
        var producer = PRODUCERS.computeIfAbsent(topic + config, k -> producer(config));
        return send(producer, records(c, topic));
    }

    static JsonNode send(KafkaProducer<byte[], byte[]> producer, List<ProducerRecord<byte[], byte[]>> records)
            throws Exception {
        var sent = new ArrayList<Future<RecordMetadata>>();
        for (var record : records) sent.add(producer.send(record));
        producer.flush();
        ArrayNode places = JSON.createArrayNode();
        for (var one : sent) {
            var at = one.get();
            places.add(JSON.createArrayNode().add(at.partition()).add(at.offset()));
        }
        return places;
    }

    /** "end" is commit or abort. */
    static JsonNode transaction(JsonNode c, String topic) throws Exception {
        var config = producerConfig(c);
        config.put("transactional.id", "foreign-" + java.util.UUID.randomUUID());
        try (var producer = producer(config)) {
            producer.initTransactions();
            producer.beginTransaction();
            var places = send(producer, records(c, topic));
            if (c.get("end").asText().equals("commit")) producer.commitTransaction();
            else producer.abortTransaction();
            return places;
        }
    }

    /** Returns the committed records up to the current end, partition by partition. */
    static JsonNode consume(JsonNode c, String topic) {
        var config = new Properties();
        config.put("bootstrap.servers", c.get("bootstrap").asText());
        config.put("isolation.level", "read_committed");
        config.put("enable.auto.commit", "false");
        config.put("max.poll.records", "10000");
        ArrayNode out = JSON.createArrayNode();
        try (var consumer = new KafkaConsumer<>(config, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            var places = new ArrayList<TopicPartition>();
            for (var p : consumer.partitionsFor(topic)) places.add(new TopicPartition(topic, p.partition()));
            var ends = consumer.endOffsets(places);
            consumer.assign(places);
            consumer.seekToBeginning(places);
            while (places.stream().anyMatch(p -> consumer.position(p) < ends.get(p))) {
                for (var r : consumer.poll(Duration.ofMillis(200))) out.add(described(r));
            }
        }
        return out;
    }

    static JsonNode described(ConsumerRecord<byte[], byte[]> r) {
        ObjectNode o = JSON.createObjectNode();
        o.put("partition", r.partition()).put("offset", r.offset()).put("timestamp", r.timestamp());
        o.set("key", b64(r.key()));
        o.set("value", b64(r.value()));
        ArrayNode headers = o.putArray("headers");
        for (Header h : r.headers()) headers.add(JSON.createArrayNode().add(h.key()).add(b64(h.value())));
        return o;
    }

    /** Returns the partition that the Java client chooses for each of "keys" in a topic with "partitions" partitions. */
    static JsonNode partitionsFor(JsonNode c) {
        ArrayNode out = JSON.createArrayNode();
        for (JsonNode key : c.get("keys"))
            out.add(Utils.toPositive(Utils.murmur2(bytes(key))) % c.get("partitions").asInt());
        return out;
    }
}
