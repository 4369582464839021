import java.util.Collection;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.retry.RetryOneTime;
import org.apache.curator.x.discovery.ServiceDiscovery;
import org.apache.curator.x.discovery.ServiceDiscoveryBuilder;
import org.apache.curator.x.discovery.ServiceInstance;
import org.apache.curator.x.discovery.ServiceProvider;

/** Finds the coordinator as any program with curator-x-discovery does. Prints what it finds whenever that changes; leaves at end of input. */
public class DiscoveryReader {
    public static void main(String[] arguments) throws Exception {
        CuratorFramework client = CuratorFrameworkFactory.newClient(arguments[0], 4000, 4000, new RetryOneTime(100));
        client.start();
        client.blockUntilConnected(30, TimeUnit.SECONDS);
        ServiceDiscovery<Object> discovery =
            ServiceDiscoveryBuilder.builder(Object.class).client(client).basePath(arguments[1]).build();
        discovery.start();
        ServiceProvider<Object> provider = discovery.serviceProviderBuilder().serviceName("coordinator").build();
        provider.start();
        Thread watcher = new Thread(() -> {
            String told = null;
            try {
                while (true) {
                    ServiceInstance<Object> one = provider.getInstance();
                    String found = "none";
                    if (one != null) {
                        Map<?, ?> payload = (Map<?, ?>) one.getPayload();
                        found = one.getId() + " at " + one.getAddress() + ":" + one.getPort() + " epoch " + payload.get("epoch")
                            + " endpoints " + payload.get("endpoints");
                    }
                    if (!found.equals(told)) {
                        System.out.println(found);
                        System.out.flush();
                        told = found;
                    }
                    Thread.sleep(20);
                }
            } catch (Exception ended) {
                ended.printStackTrace();
            }
        });
        watcher.setDaemon(true);
        watcher.start();
        while (System.in.read() >= 0) {
        }
        provider.close();
        discovery.close();
        client.close();
    }
}
