import io.etcd.jetcd.ByteSequence;
import io.etcd.jetcd.Watch;
import io.etcd.jetcd.watch.WatchEvent;
import io.etcd.jetcd.watch.WatchResponse;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

/** What a watch brings, in a form that reads well: {@code PUT key value before}. */
final class Events implements Watch.Listener {
    /** An event as text, or what the watch failed with. */
    private final BlockingQueue<Object> arrived = new LinkedBlockingQueue<>();

    @Override
    public void onNext(WatchResponse response) {
        for (WatchEvent event : response.getEvents()) {
            var kv = event.getKeyValue();
            var before = event.getPrevKV().getKey().isEmpty() ? "-" : text(event.getPrevKV().getValue());
            arrived.add(event.getEventType() + " " + text(kv.getKey()) + " " + text(kv.getValue()) + " " + before);
        }
    }

    @Override
    public void onError(Throwable error) {
        arrived.add(error);
    }

    @Override
    public void onCompleted() {
        arrived.add("completed");
    }

    Object next() throws InterruptedException {
        Object next = arrived.poll(60, TimeUnit.SECONDS);
        if (next == null) throw new AssertionError("nothing arrives");
        return next;
    }

    List<Object> next(int count) throws InterruptedException {
        var found = new ArrayList<Object>();
        while (found.size() < count) found.add(next());
        return found;
    }

    private static String text(ByteSequence bytes) {
        return bytes.toString(java.nio.charset.StandardCharsets.UTF_8);
    }
}
