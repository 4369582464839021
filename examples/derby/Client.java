import java.sql.*;
import java.util.concurrent.atomic.AtomicBoolean;

/**
 * Client HOST:PORT,HOST:PORT DATABASE NUMBER: inserts rows, each until it is acknowledged, at whichever of the servers answers.
 * Says "ACK ID NANOSECONDS" for each. Ends when its standard input does. Client … list: prints all ids.
 */
public class Client {
    static Connection connection;
    static int at = 0;

    static Connection connect(String[] servers, String database) throws SQLException {
        if (connection == null) {
            connection = DriverManager.getConnection("jdbc:derby://" + servers[at++ % servers.length] + "/" + database);
        }
        return connection;
    }

    static void forget() {
        try {
            if (connection != null) connection.close();
        } catch (SQLException ignored) {
            // It is gone as it is.
        }
        connection = null;
    }

    public static void main(String[] arguments) throws Exception {
        String[] servers = arguments[0].split(",");
        String database = arguments[1];
        DriverManager.setLoginTimeout(5);
        if (arguments[2].equals("list")) {
            try (Statement all = connect(servers, database).createStatement(); ResultSet rows = all.executeQuery("SELECT id FROM writes")) {
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
            String id = arguments[2] + "-" + number;
            // Once begun, it is asked for until it is answered: only then is it known whether it is there.
            while (!insert(servers, database, id)) Thread.sleep(10);
            System.out.println("ACK " + id + " " + System.nanoTime());
            Thread.sleep(5);
        }
    }

    static boolean insert(String[] servers, String database, String id) {
        try (PreparedStatement insert = connect(servers, database).prepareStatement("INSERT INTO writes VALUES (?)")) {
            insert.setString(1, id);
            insert.executeUpdate();
            return true;
        } catch (SQLException error) {
            // A former attempt was committed, and its answer was lost.
            if ("23505".equals(error.getSQLState())) return true;
            System.err.println(System.nanoTime() + " " + id + ": " + error.getSQLState() + " " + error.getMessage());
            forget();
            return false;
        }
    }
}
