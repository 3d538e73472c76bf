package kubernetes

import (
	"fmt"
	"testing"

	"k8s.io/apiserver/pkg/features"
	storagetesting "k8s.io/apiserver/pkg/storage/testing"
)

func TestWatch(t *testing.T) {
	f := setup(t)
	storagetesting.RunTestWatch(f.ctx, t, f)
}

func TestClusterScopedWatch(t *testing.T) {
	f := setup(t)
	storagetesting.RunTestClusterScopedWatch(f.ctx, t, f)
}

func TestNamespaceScopedWatch(t *testing.T) {
	f := setup(t)
	storagetesting.RunTestNamespaceScopedWatch(f.ctx, t, f)
}

func TestDeleteTriggerWatch(t *testing.T) {
	f := setup(t)
	storagetesting.RunTestDeleteTriggerWatch(f.ctx, t, f)
}

func TestFreshWatchFromZero(t *testing.T) {
	f := setup(t)
	storagetesting.RunTestWatchFromZero(f.ctx, t, f, f.compact)
}

func TestWatchFromNonZero(t *testing.T) {
	f := setup(t)
	storagetesting.RunTestWatchFromNonZero(f.ctx, t, f)
}

func TestDelayedWatchDelivery(t *testing.T) {
	f := setup(t)
	storagetesting.RunTestDelayedWatchDelivery(f.ctx, t, f)
}

func TestWatchError(t *testing.T) {
	f := setup(t)
	storagetesting.RunTestWatchError(f.ctx, t, f)
}

func TestWatchErrorIsBlockingFurtherEvents(t *testing.T) {
	f := setup(t)
	storagetesting.RunWatchErrorIsBlockingFurtherEvents(f.ctx, t, f)
}

func TestWatchWithUnsafeDelete(t *testing.T) {
	gate(t, features.AllowUnsafeMalformedObjectDeletion, true)
	f := setup(t)
	storagetesting.RunTestWatchWithUnsafeDelete(f.ctx, t, f, corruptObject(t))
}

func TestWatchContextCancel(t *testing.T) {
	f := setup(t)
	storagetesting.RunTestWatchContextCancel(f.ctx, t, f)
}

func TestWatcherTimeout(t *testing.T) {
	f := setup(t)
	storagetesting.RunTestWatcherTimeout(f.ctx, t, f)
}

func TestWatchDeleteEventObjectHaveLatestRV(t *testing.T) {
	f := setup(t)
	storagetesting.RunTestWatchDeleteEventObjectHaveLatestRV(f.ctx, t, f)
}

func TestWatchInitializationSignal(t *testing.T) {
	f := setup(t)
	storagetesting.RunTestWatchInitializationSignal(f.ctx, t, f)
}

// The server must send progress by itself every second or so: --watch-progress-notify-interval=1s.
func TestProgressNotify(t *testing.T) {
	f := setup(t)
	storagetesting.RunOptionalTestProgressNotify(f.ctx, t, f, f.increaseRevision)
}

func TestWatchDispatchBookmarkEvents(t *testing.T) {
	f := setup(t)
	storagetesting.RunTestWatchDispatchBookmarkEvents(f.ctx, t, f, false)
}

func TestSendInitialEventsBackwardCompatibility(t *testing.T) {
	f := setup(t)
	storagetesting.RunSendInitialEventsBackwardCompatibility(f.ctx, t, f)
}

func TestWatchSemantics(t *testing.T) {
	for _, stream := range []bool{false, true} {
		for _, concurrent := range []bool{false, true} {
			t.Run(fmt.Sprintf("stream=%v/concurrentDecode=%v", stream, concurrent), func(t *testing.T) {
				gate(t, features.EtcdRangeStream, stream)
				gate(t, features.ConcurrentWatchObjectDecode, concurrent)
				f := setup(t)
				storagetesting.RunWatchSemantics(f.ctx, t, f)
			})
		}
	}
}

func TestWatchSemanticInitialEventsExtended(t *testing.T) {
	for _, stream := range []bool{false, true} {
		t.Run(fmt.Sprintf("stream=%v", stream), func(t *testing.T) {
			gate(t, features.EtcdRangeStream, stream)
			f := setup(t)
			storagetesting.RunWatchSemanticInitialEventsExtended(f.ctx, t, f)
		})
	}
}

func TestWatchListMatchSingle(t *testing.T) {
	for _, stream := range []bool{false, true} {
		t.Run(fmt.Sprintf("stream=%v", stream), func(t *testing.T) {
			gate(t, features.EtcdRangeStream, stream)
			f := setup(t)
			storagetesting.RunWatchListMatchSingle(f.ctx, t, f)
		})
	}
}
