import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.ClientInterceptor;
import io.grpc.ForwardingClientCall.SimpleForwardingClientCall;
import io.grpc.MethodDescriptor;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.TimeUnit;

/** jetcd has neither deadlines nor a way to cancel a call; its users reach both by an interceptor. */
final class Controls implements ClientInterceptor {
    /** 0: none. */
    volatile long deadlineMs = 0;
    volatile boolean keepsCalls = false;
    final Queue<ClientCall<?, ?>> calls = new ConcurrentLinkedQueue<>();

    @Override
    public <Q, A> ClientCall<Q, A> interceptCall(MethodDescriptor<Q, A> method, CallOptions options, Channel next) {
        var deadline = deadlineMs == 0 ? options : options.withDeadlineAfter(deadlineMs, TimeUnit.MILLISECONDS);
        return new SimpleForwardingClientCall<Q, A>(next.newCall(method, deadline)) {
            @Override
            public void halfClose() {
                super.halfClose();
                // Not before: another thread must not cancel a call that its caller has still something to do with.
                if (keepsCalls) calls.add(this);
            }
        };
    }
}
