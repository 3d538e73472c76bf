package kubernetes

import (
	"path"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/apis/example"
	"k8s.io/apiserver/pkg/storage"
	"k8s.io/apiserver/pkg/storage/cacher"
	storagetesting "k8s.io/apiserver/pkg/storage/testing"
)

// cached puts the apiserver's watch cache in front of the store, for the tests that only make sense with one.
func cached(t *testing.T, f *fixture) storage.Interface {
	t.Helper()
	cache, err := cacher.NewCacherFromConfig(cacher.Config{
		Storage:             f,
		Versioner:           storage.APIObjectVersioner{},
		GroupResource:       pods,
		EventsHistoryWindow: cacher.DefaultEventFreshDuration,
		ResourcePrefix:      "/pods/",
		KeyFunc: func(object runtime.Object) (string, error) {
			pod := object.(metav1.Object)
			return path.Join("/pods", pod.GetNamespace(), pod.GetName()), nil
		},
		GetAttrsFunc: func(object runtime.Object) (labels.Set, fields.Set, error) {
			pod := object.(*example.Pod)
			return pod.Labels, fields.Set{
				"metadata.name": pod.Name, "metadata.namespace": pod.Namespace, "spec.nodeName": pod.Spec.NodeName,
			}, nil
		},
		NewFunc:     func() runtime.Object { return &example.Pod{} },
		NewListFunc: func() runtime.Object { return &example.PodList{} },
		Codec:       f.codec,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cache.Stop)
	if err := cache.Wait(f.ctx); err != nil {
		t.Fatal(err)
	}
	delegator := cacher.NewCacheDelegator(cache, f)
	t.Cleanup(delegator.Stop)
	return delegator
}

func TestCachedWatchBookmarksWithCorrectResourceVersion(t *testing.T) {
	f := setup(t)
	storagetesting.RunTestOptionalWatchBookmarksWithCorrectResourceVersion(f.ctx, t, cached(t, f))
}

func TestCachedWatchDispatchBookmarkEvents(t *testing.T) {
	f := setup(t)
	storagetesting.RunTestWatchDispatchBookmarkEvents(f.ctx, t, cached(t, f), true)
}

func TestCachedConsistentList(t *testing.T) {
	f := setup(t)
	storagetesting.RunTestConsistentList(f.ctx, t, cached(t, f), f.increaseRevision, true, true, true)
}

func TestCachedWatch(t *testing.T) {
	f := setup(t)
	storagetesting.RunTestWatch(f.ctx, t, cached(t, f))
}

func TestCachedDelayedWatchDelivery(t *testing.T) {
	f := setup(t)
	storagetesting.RunTestDelayedWatchDelivery(f.ctx, t, cached(t, f))
}
