import java.net.HttpURLConnection;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;

/** Uploads a file of lines as one x-ndjson request and prints the status and the response: FILE URL. */
public class Upload {
    public static void main(String[] arguments) throws Exception {
        HttpURLConnection connection = (HttpURLConnection) new URI(arguments[1]).toURL().openConnection();
        connection.setRequestMethod("POST");
        connection.setDoOutput(true);
        connection.setRequestProperty("Content-Type", "application/x-ndjson");
        connection.setChunkedStreamingMode(0);
        try (var body = connection.getOutputStream()) {
            Files.copy(Path.of(arguments[0]), body);
        }
        System.out.print(connection.getResponseCode() + " ");
        connection.getInputStream().transferTo(System.out);
    }
}
