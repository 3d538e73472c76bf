import io.etcd.jetcd.common.exception.EtcdException;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.util.Objects;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;

/** How a program tells the test beside it what it found, and asks it to do something to the server. See ../../programs.ts. */
final class Report {
    private static final BufferedReader ANSWERS = new BufferedReader(new InputStreamReader(System.in));

    interface Run {
        void run() throws Exception;
    }

    static void scenario(String name, Run run) {
        try {
            run.run();
            System.out.println("ok " + name);
        } catch (Exception | AssertionError error) {
            error.printStackTrace();
            System.out.println("not ok " + name + ": " + error.toString().replace('\n', ' '));
        }
    }

    /** {@code pause}, {@code resume} or {@code restart} the server. Returns when that is done. */
    static void ask(String action) throws IOException {
        System.out.println("do " + action);
        equal(ANSWERS.readLine(), "done", "the test's answer");
    }

    static void equal(Object found, Object wanted, String what) {
        if (!Objects.equals(found, wanted)) throw new AssertionError(what + ": " + found + " instead of " + wanted);
    }

    /** What a call brings; the bound is for a call that hangs. */
    static <T> T get(CompletableFuture<T> future) throws Exception {
        return future.get(60, TimeUnit.SECONDS);
    }

    /** The call must fail like this. */
    static void fails(CompletableFuture<?> future, Status.Code code, String text) throws Exception {
        Status status = failure(future);
        equal(status.getCode(), code, "the code of: " + status);
        equal(status.getDescription(), text, "the text");
    }

    /** The library wraps some errors and passes others on as grpc-java has them. */
    static Status failure(CompletableFuture<?> future) throws Exception {
        try {
            throw new AssertionError("no failure but " + get(future));
        } catch (ExecutionException error) {
            if (error.getCause() instanceof EtcdException cause)
                return Status.Code.valueOf(cause.getErrorCode().name()).toStatus().withDescription(cause.getMessage());
            if (error.getCause() instanceof StatusRuntimeException cause) return cause.getStatus();
            throw error;
        }
    }

    private Report() {}
}
