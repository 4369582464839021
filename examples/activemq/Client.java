import java.util.concurrent.atomic.AtomicBoolean;
import javax.jms.*;
import org.apache.activemq.ActiveMQConnectionFactory;

/**
 * Client HOST:PORT,HOST:PORT NUMBER: sends persistent messages, each until it is acknowledged; ActiveMQ's own fail-over transport
 * finds the broker that serves. Says "ACK ID NANOSECONDS" for each. Ends when its standard input does.
 * Client … list: takes all messages and prints them.
 */
public class Client {
    public static void main(String[] arguments) throws Exception {
        StringBuilder url = new StringBuilder("failover:(");
        for (String server : arguments[0].split(",")) url.append(url.charAt(url.length() - 1) == '(' ? "" : ",").append("tcp://").append(server);
        // Its defaults back off to 30 s between attempts: a broker that is back would wait for its clients.
        url.append(")?initialReconnectDelay=10&maxReconnectDelay=200&randomize=false");
        Connection connection = new ActiveMQConnectionFactory(url.toString()).createConnection();
        connection.start();
        Session session = connection.createSession(false, Session.AUTO_ACKNOWLEDGE);
        Queue queue = session.createQueue("writes");
        if (arguments[1].equals("list")) {
            MessageConsumer consumer = session.createConsumer(queue);
            for (Message message; (message = consumer.receive(5000)) != null; ) System.out.println(((TextMessage) message).getText());
            connection.close();
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
        MessageProducer producer = session.createProducer(queue);
        producer.setDeliveryMode(DeliveryMode.PERSISTENT);
        for (int number = 0; !over.get(); number++) {
            String id = arguments[1] + "-" + number;
            // Persistent and outside of a transaction: it returns when the broker has it on its disk.
            producer.send(session.createTextMessage(id));
            System.out.println("ACK " + id + " " + System.nanoTime());
            Thread.sleep(5);
        }
        connection.close();
    }
}
