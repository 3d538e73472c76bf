// Package kubernetes runs Kubernetes' own storage conformance (k8s.io/apiserver/pkg/storage/testing) through its etcd3 store
// against a server that is already running. The server is given by the flag -endpoint.
//
// Tests whose name begins with TestFresh compact, or work without a path prefix: each wants a server that nobody used before.
// All others share one server, each under a path prefix of its own.
package kubernetes

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/kubernetes"
	"go.uber.org/zap"
	"google.golang.org/grpc/grpclog"

	"k8s.io/apimachinery/pkg/api/apitesting"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/apiserver/pkg/apis/example"
	examplev1 "k8s.io/apiserver/pkg/apis/example/v1"
	"k8s.io/apiserver/pkg/features"
	"k8s.io/apiserver/pkg/storage"
	"k8s.io/apiserver/pkg/storage/etcd3"
	etcdfeature "k8s.io/apiserver/pkg/storage/feature"
	storagetesting "k8s.io/apiserver/pkg/storage/testing"
	"k8s.io/apiserver/pkg/storage/value"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/component-base/featuregate"
	featuregatetesting "k8s.io/component-base/featuregate/testing"
	"k8s.io/utils/clock"
)

const (
	valuePrefix = "conformance!"
	// How long a compaction may take to reach the store's own watch on compact_rev_key.
	compactionSeenTimeout = 30 * time.Second
	// The etcd3 store grows its pages up to this size (maxLimit in k8s.io/apiserver/pkg/storage/etcd3/store.go).
	pageSizeMax = 10000
)

var (
	endpoint = flag.String("endpoint", "", "client URL of the server under test, for instance http://127.0.0.1:2379")
	pods     = schema.GroupResource{Resource: "pods"}
	scheme   = runtime.NewScheme()
	codecs   = serializer.NewCodecFactory(scheme)
	testRun  atomic.Int64
)

func TestMain(m *testing.M) {
	flag.Parse()
	metav1.AddToGroupVersion(scheme, metav1.SchemeGroupVersion)
	utilruntime.Must(example.AddToScheme(scheme))
	utilruntime.Must(examplev1.AddToScheme(scheme))
	grpclog.SetLoggerV2(grpclog.NewLoggerV2(io.Discard, io.Discard, os.Stderr))
	os.Exit(m.Run())
}

// conformanceStore is the part of etcd3's unexported store type that the suite needs.
type conformanceStore interface {
	storage.Interface
	EnableResourceSizeEstimation(storage.KeysFunc) error
}

// fixture is one store on the server under test. It implements the suite's InterfaceWithPrefixTransformer and
// InterfaceWithTransformerOverride: the store is built on a transformer whose inside can be exchanged.
type fixture struct {
	conformanceStore
	ctx        context.Context
	client     *kubernetes.Client
	kv         *storagetesting.KVRecorder
	lists      *storagetesting.KubernetesRecorder
	codec      runtime.Codec
	prefix     string
	transforms *exchangeable
}

type option func(*options)

type options struct {
	codec       runtime.Codec
	transformer value.Transformer
	prefix      string
}

func withoutPrefix(o *options) { o.prefix = "" }

func withCodec(codec runtime.Codec) option { return func(o *options) { o.codec = codec } }

func withTransformer(transformer value.Transformer) option {
	return func(o *options) { o.transformer = transformer }
}

func newTransformer() *storagetesting.PrefixTransformer {
	return storagetesting.NewPrefixTransformer([]byte(valuePrefix), false)
}

func setup(t *testing.T, opts ...option) *fixture {
	t.Helper()
	if *endpoint == "" {
		t.Fatal("no server under test: give its client URL with -endpoint")
	}
	o := options{
		codec:       apitesting.TestCodec(codecs, examplev1.SchemeGroupVersion),
		transformer: newTransformer(),
		prefix:      fmt.Sprintf("/conformance/%s-%d", rand.Text(), testRun.Add(1)),
	}
	for _, opt := range opts {
		opt(&o)
	}
	client, err := kubernetes.New(clientv3.Config{
		Endpoints:   []string{*endpoint},
		DialTimeout: 10 * time.Second,
		Logger:      zap.NewNop(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	f := &fixture{
		ctx:        context.Background(),
		client:     client,
		codec:      o.codec,
		prefix:     o.prefix,
		transforms: &exchangeable{current: o.transformer},
	}
	f.lists = storagetesting.NewKubernetesRecorder(client.Kubernetes)
	f.kv = storagetesting.NewKVRecorder(client.KV, f.lists)
	client.KV, client.Kubernetes = f.kv, f.lists

	// Whether the server knows RangeStream and progress requests is asked of this server anew.
	checker := etcdfeature.DefaultFeatureSupportChecker
	etcdfeature.DefaultFeatureSupportChecker = etcdfeature.NewDefaultFeatureSupportChecker()
	t.Cleanup(func() { etcdfeature.DefaultFeatureSupportChecker = checker })

	compactor := etcd3.NewCompactor(client.Client, 0, clock.RealClock{}, nil)
	t.Cleanup(compactor.Stop)
	leases := etcd3.NewDefaultLeaseManagerConfig()
	leases.ReuseDurationSeconds = 1
	versioner := storage.APIObjectVersioner{}
	store, err := etcd3.New(client, compactor, o.codec,
		func() runtime.Object { return &example.Pod{} }, func() runtime.Object { return &example.PodList{} },
		f.prefix, "/pods/", pods, f.transforms, leases, etcd3.NewDefaultDecoder(o.codec, versioner), versioner)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	f.conformanceStore = store
	return f
}

// UpdatePrefixTransformer implements storagetesting.InterfaceWithPrefixTransformer.
func (f *fixture) UpdatePrefixTransformer(modify storagetesting.PrefixTransformerModifier) func() {
	original := f.transforms.get().(*storagetesting.PrefixTransformer)
	changed := *original
	return f.transforms.exchange(modify(&changed))
}

// UpdateTransformer implements storagetesting.InterfaceWithTransformerOverride.
func (f *fixture) UpdateTransformer(modify storagetesting.TransformerModifier) func() {
	return f.transforms.exchange(modify(f.transforms.get()))
}

// stored checks what the server really holds under a key of the store: prefixed, decodable, without server-side fields.
func (f *fixture) stored(ctx context.Context, t *testing.T, key string) {
	answer, err := f.client.KV.Get(ctx, f.prefix+key)
	if err != nil {
		t.Fatalf("reading %s: %v", key, err)
	}
	if len(answer.Kvs) != 1 {
		t.Fatalf("%s: %d keys, want 1", key, len(answer.Kvs))
	}
	data, found := strings.CutPrefix(string(answer.Kvs[0].Value), valuePrefix)
	if !found {
		t.Fatalf("%s: value without the transformer's prefix: %q", key, answer.Kvs[0].Value)
	}
	object, err := runtime.Decode(f.codec, []byte(data))
	if err != nil {
		t.Fatalf("%s: %v", key, err)
	}
	pod := object.(*example.Pod)
	if pod.ResourceVersion != "" || pod.SelfLink != "" {
		t.Errorf("%s: stored with resourceVersion %q and selfLink %q, want neither", key, pod.ResourceVersion, pod.SelfLink)
	}
}

// increaseRevision writes a key that no store looks at.
func (f *fixture) increaseRevision(ctx context.Context, t *testing.T) int64 {
	answer, err := f.client.KV.Put(ctx, f.prefix+"-revision", "ok")
	if err != nil {
		t.Fatal(err)
	}
	return answer.Header.Revision
}

// compact does what the apiserver's compactor does (a txn on compact_rev_key, then Compact), and waits until the store knows.
func (f *fixture) compact(ctx context.Context, t *testing.T, resourceVersion string) {
	revision, err := storage.APIObjectVersioner{}.ParseResourceVersion(resourceVersion)
	if err != nil {
		t.Fatal(err)
	}
	_, _, compacted, err := etcd3.Compact(ctx, f.client.Client, 0, int64(revision))
	if err != nil {
		t.Fatal(err)
	}
	if compacted != int64(revision) {
		t.Fatalf("compacted at %d, want %d: this test needs a fresh server", compacted, revision)
	}
	if !utilfeature.DefaultFeatureGate.Enabled(features.ListFromCacheSnapshot) {
		return
	}
	for end := time.Now().Add(compactionSeenTimeout); f.CompactRevision() != int64(revision); {
		if time.Now().After(end) {
			t.Fatalf("the watch on compact_rev_key says %d, want %d", f.CompactRevision(), revision)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// calls checks how many values were read and how many list calls that took. The store doubles its page until the objects
// evaluated are covered: with pages of 1 and 1,000 objects 1+2+4+…+512 >= 1,000 takes 10 calls.
func (f *fixture) calls(t *testing.T, pageSize, objects uint64) {
	if reads := f.transforms.get().(*storagetesting.PrefixTransformer).GetReadsAndReset(); reads != objects {
		t.Errorf("%d values read, want %d", reads, objects)
	}
	want := uint64(1)
	if pageSize != 0 {
		for page, sum := pageSize, uint64(1); sum < objects; want++ {
			page = min(2*page, pageSizeMax)
			sum += page
		}
	}
	if got := f.kv.GetReadsAndReset() + f.kv.GetStreamReadsAndReset(); got != want {
		t.Fatalf("%d list calls, want %d", got, want)
	}
}

// keys lists the store's keys, as its size estimation asks for.
func (f *fixture) keys(ctx context.Context) ([]string, error) {
	answer, err := f.client.KV.Get(ctx, f.prefix+"/pods/", clientv3.WithPrefix(), clientv3.WithKeysOnly())
	if err != nil {
		return nil, err
	}
	keys := make([]string, 0, len(answer.Kvs))
	for _, kv := range answer.Kvs {
		keys = append(keys, string(kv.Key))
	}
	return keys, nil
}

func gate(t *testing.T, feature featuregate.Feature, enabled bool) {
	t.Helper()
	featuregatetesting.SetFeatureGateDuringTest(t, utilfeature.DefaultFeatureGate, feature, enabled)
}

// exchangeable is a transformer whose inside can be replaced while the store and its watcher use it.
type exchangeable struct {
	mu      sync.RWMutex
	current value.Transformer
}

func (e *exchangeable) get() value.Transformer {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.current
}

func (e *exchangeable) exchange(next value.Transformer) (restore func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	before := e.current
	e.current = next
	return func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.current = before
	}
}

func (e *exchangeable) TransformFromStorage(ctx context.Context, data []byte, context value.Context) ([]byte, bool, error) {
	return e.get().TransformFromStorage(ctx, data, context)
}

func (e *exchangeable) TransformToStorage(ctx context.Context, data []byte, context value.Context) ([]byte, error) {
	return e.get().TransformToStorage(ctx, data, context)
}

var errInjected = errors.New("injected failure")

// failingTransformer and failingCodec fail to read while they are told to.
type failingTransformer struct {
	value.Transformer
	failing atomic.Bool
}

func (f *failingTransformer) TransformFromStorage(ctx context.Context, data []byte, context value.Context) ([]byte, bool, error) {
	if f.failing.Load() {
		return nil, false, errInjected
	}
	return f.Transformer.TransformFromStorage(ctx, data, context)
}

type failingCodec struct {
	runtime.Codec
	failing atomic.Bool
}

func (f *failingCodec) Decode(
	data []byte, defaults *schema.GroupVersionKind, into runtime.Object,
) (runtime.Object, *schema.GroupVersionKind, error) {
	if f.failing.Load() {
		return nil, nil, errInjected
	}
	return f.Codec.Decode(data, defaults, into)
}

// corruptObject is the error that the etcd3 store recognises as "cannot be transformed". Its type is unexported, so let the
// decorator that makes it make one.
func corruptObject(t *testing.T) error {
	t.Helper()
	failing := &failingTransformer{Transformer: newTransformer()}
	failing.failing.Store(true)
	_, _, err := etcd3.WithCorruptObjErrorHandlingTransformer(failing).TransformFromStorage(t.Context(), nil, value.DefaultContext{})
	if err == nil {
		t.Fatal("no corrupt object error from the decorator")
	}
	return err
}
