package kubernetes

import (
	"context"
	"fmt"
	"testing"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/features"
	"k8s.io/apiserver/pkg/storage"
	"k8s.io/apiserver/pkg/storage/etcd3"
	storagetesting "k8s.io/apiserver/pkg/storage/testing"
)

// unsafeDeletion answers reads as the decorated store does (with corrupt objects aggregated), everything else directly.
type unsafeDeletion struct {
	conformanceStore
	reads storage.Interface
}

func (u unsafeDeletion) Get(ctx context.Context, key string, opts storage.GetOptions, out runtime.Object) error {
	return u.reads.Get(ctx, key, opts, out)
}

func (u unsafeDeletion) GetList(ctx context.Context, key string, opts storage.ListOptions, list runtime.Object) error {
	return u.reads.GetList(ctx, key, opts, list)
}

// RunTestList and the others here read lists page by page (Range) and as a stream (RangeStream, etcd 3.7 and later).
func testFreshList(t *testing.T, stream bool) {
	gate(t, features.EtcdRangeStream, stream)
	f := setup(t)
	storagetesting.RunTestList(f.ctx, t, f, f.compact, false, f.lists)
	if streams := f.kv.GetStreamReadsAndReset(); (streams > 0) != stream {
		t.Errorf("%d lists came as a stream, with streams enabled: %v", streams, stream)
	}
}

func TestFreshListPaged(t *testing.T)    { testFreshList(t, false) }
func TestFreshListStreamed(t *testing.T) { testFreshList(t, true) }

func TestConsistentList(t *testing.T) {
	for _, stream := range []bool{false, true} {
		t.Run(fmt.Sprintf("stream=%v", stream), func(t *testing.T) {
			gate(t, features.EtcdRangeStream, stream)
			f := setup(t)
			storagetesting.RunTestConsistentList(f.ctx, t, f, f.increaseRevision, false, true, false)
		})
	}
}

func TestListPaging(t *testing.T) {
	f := setup(t)
	storagetesting.RunTestListPaging(f.ctx, t, f)
}

func TestGetListNonRecursive(t *testing.T) {
	f := setup(t)
	storagetesting.RunTestGetListNonRecursive(f.ctx, t, f.increaseRevision, f)
}

func TestGetListRecursivePrefix(t *testing.T) {
	f := setup(t)
	storagetesting.RunTestGetListRecursivePrefix(f.ctx, t, f)
}

func TestNamespaceScopedList(t *testing.T) {
	f := setup(t)
	storagetesting.RunTestNamespaceScopedList(f.ctx, t, f)
}

func TestListResourceVersionMatch(t *testing.T) {
	f := setup(t)
	storagetesting.RunTestListResourceVersionMatch(f.ctx, t, f)
}

func TestListContinuation(t *testing.T) {
	f := setup(t)
	storagetesting.RunTestListContinuation(f.ctx, t, f, f.calls)
}

func TestListContinuationWithFilter(t *testing.T) {
	f := setup(t)
	storagetesting.RunTestListContinuationWithFilter(f.ctx, t, f, f.calls)
}

func TestListPaginationRareObject(t *testing.T) {
	// The watch on compact_rev_key would add a read to those counted.
	gate(t, features.ListFromCacheSnapshot, false)
	f := setup(t)
	storagetesting.RunTestListPaginationRareObject(f.ctx, t, f, f.calls)
}

func TestFreshListInconsistentContinuation(t *testing.T) {
	f := setup(t)
	storagetesting.RunTestListInconsistentContinuation(f.ctx, t, f, f.compact)
}

func TestFreshCompactRevision(t *testing.T) {
	// With this gate the store learns of compactions by a watch on compact_rev_key.
	gate(t, features.ListFromCacheSnapshot, true)
	f := setup(t)
	storagetesting.RunTestCompactRevision(f.ctx, t, f, f.increaseRevision, f.compact)
}

// These two compare keys in error messages as they are without a path prefix.
func TestFreshGetListWithErrorAggregation(t *testing.T) {
	gate(t, features.AllowUnsafeMalformedObjectDeletion, true)
	f := setup(t, withoutPrefix)
	f.conformanceStore = unsafeDeletion{f.conformanceStore, etcd3.NewStoreWithUnsafeCorruptObjectDeletion(f.conformanceStore, pods)}
	storagetesting.RunTestGetListWithErrorAggregation(f.ctx, t, f, corruptObject(t))
}

func TestFreshGetListWithoutErrorAggregation(t *testing.T) {
	gate(t, features.AllowUnsafeMalformedObjectDeletion, false)
	f := setup(t, withoutPrefix)
	storagetesting.RunTestGetListWithoutErrorAggregation(f.ctx, t, f, corruptObject(t))
}
