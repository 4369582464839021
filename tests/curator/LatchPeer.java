import java.util.concurrent.TimeUnit;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.framework.recipes.leader.LeaderLatch;
import org.apache.curator.retry.RetryOneTime;

/** A LeaderLatch on the path that primacy's candidates use. Prints who leads whenever that changes; leaves at end of input. */
public class LatchPeer {
    public static void main(String[] arguments) throws Exception {
        CuratorFramework client = CuratorFrameworkFactory.newClient(arguments[0], 4000, 4000, new RetryOneTime(100));
        client.start();
        client.blockUntilConnected(30, TimeUnit.SECONDS);
        LeaderLatch latch = new LeaderLatch(client, arguments[1], "java");
        latch.start();
        Thread watcher = new Thread(() -> {
            String told = null;
            try {
                while (true) {
                    String found = "leader=" + latch.getLeader().getId() + " leads=" + latch.hasLeadership();
                    if (!found.equals(told)) {
                        System.out.println(found);
                        System.out.flush();
                        told = found;
                    }
                    Thread.sleep(20);
                }
            } catch (Exception ended) {
                // The latch is closed.
            }
        });
        watcher.setDaemon(true);
        watcher.start();
        while (System.in.read() >= 0) {
        }
        latch.close();
        client.close();
    }
}
