import java.sql.*;
import java.util.concurrent.atomic.AtomicBoolean;

/**
 * Client HOST:PORT,HOST:PORT NUMBER: inserts rows, each until it is acknowledged, at whichever of the servers answers. Says
 * "ACK ID NANOSECONDS" for each. Ends when its standard input does. Client … create: makes the table. Client … list: prints all ids.
 */
public class Client {
    static Connection connection;
    static int at = 0;

    static Statement statement(String[] servers) throws SQLException {
        if (connection == null) connection = DriverManager.getConnection("jdbc:hive2://" + servers[at++ % servers.length] + "/");
        return connection.createStatement();
    }

    static boolean execute(String[] servers, String sql) {
        try (Statement statement = statement(servers)) {
            statement.execute(sql);
            return true;
        } catch (SQLException error) {
            System.err.println(System.nanoTime() + " " + sql + ": " + String.valueOf(error.getMessage()).lines().findFirst().orElse(""));
            try {
                if (connection != null) connection.close();
            } catch (SQLException ignored) {
                // It is gone as it is.
            }
            connection = null;
            return false;
        }
    }

    public static void main(String[] arguments) throws Exception {
        String[] servers = arguments[0].split(",");
        if (arguments[1].equals("create")) {
            while (!execute(servers, "CREATE TABLE IF NOT EXISTS writes (id STRING) USING parquet")) Thread.sleep(200);
            return;
        }
        if (arguments[1].equals("list")) {
            try (ResultSet rows = statement(servers).executeQuery("SELECT id FROM writes")) {
                while (rows.next()) System.out.println(rows.getString(1));
            }
            return;
        }
        AtomicBoolean over = new AtomicBoolean();
        Thread reader = new Thread(() -> {
            try {
                while (System.in.read() >= 0) { }
            } catch (java.io.IOException ignored) {
                // As good as its end.
            }
            over.set(true);
        });
        reader.setDaemon(true);
        reader.start();
        for (int number = 0; !over.get(); number++) {
            String id = arguments[1] + "-" + number;
            while (!execute(servers, "INSERT INTO writes VALUES ('" + id + "')")) Thread.sleep(50);
            System.out.println("ACK " + id + " " + System.nanoTime());
        }
    }
}
