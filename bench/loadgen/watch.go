package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// received is what all watchers together have seen.
type received struct {
	latencies
	failed failures
	// lags is nil if puts have no rate, or if the client is lean: then none are kept.
	lags *lags
	// created has an answer for each watcher, and may have the reason why a connection has ended before.
	created chan error
	// counts are the events of each watcher, there once all have ended.
	counts []int64
	ended  sync.WaitGroup
	events atomic.Int64
	// last is when the newest event arrived, in nanoseconds.
	last atomic.Int64
}

// stampOf is the begin of a value: the time its put began, in nanoseconds.
func stampOf(value []byte) (stamp int64, ok bool) {
	for i, b := range value {
		if b == ' ' {
			return stamp, i > 0
		}
		if b < '0' || b > '9' {
			break
		}
		stamp = stamp*10 + int64(b-'0')
	}
	return 0, false
}

// follow reads one watch to its end.
func (r *received) follow(ctx context.Context, watcher int, watch clientv3.WatchChan) {
	first := true
	for answer := range watch {
		if first {
			first = false
			r.created <- answer.Err()
		} else if err := answer.Err(); err != nil && ctx.Err() == nil {
			r.failed.add(err)
		}
		now := time.Now().UnixNano()
		own := make([]float64, 0, len(answer.Events))
		for _, event := range answer.Events {
			began, ok := stampOf(event.Kv.Value)
			if !ok {
				continue // a key that was filled, not put by this run
			}
			own = append(own, milliseconds(time.Duration(now-began)))
			r.lags.arrive(began, now)
		}
		r.add(own...)
		r.counts[watcher] += int64(len(own))
		r.events.Add(int64(len(own)))
		r.last.Store(now)
	}
	if first {
		r.created <- errors.New("the watch ended before it was created")
	}
}

// lost is how many events the watchers miss. One that has more than its own cannot make up for that: it is an error, unless a put failed,
// which may have been done all the same.
func (r *received) lost(wanted func(watcher int) int64) int64 {
	lost := int64(0)
	noneFailed := r.failed.count == 0
	for watcher, count := range r.counts {
		want := wanted(watcher)
		lost += max(0, want-count)
		if count > want && noneFailed {
			r.failed.add(fmt.Errorf("watcher %d has %d events of %d", watcher, count, want))
		}
	}
	return lost
}

// watch opens the watchers, then puts until the run is over, then waits for the events still under way.
func (l *load) watch(ctx context.Context) (watchReport, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	seen := &received{created: make(chan error, l.watchers+l.connections), counts: make([]int64, l.watchers)}
	put := func(done *puts) { l.puts(ctx, done, seen) }
	if l.options.client == "lean" {
		connections, err := l.leanWatches(ctx, seen)
		if err != nil {
			return watchReport{}, err
		}
		put = func(done *puts) { l.leanPuts(connections, done) }
	} else {
		if l.rate > 0 {
			seen.lags = newLags()
		}
		for i := range l.watchers {
			seen.ended.Go(func() { seen.follow(ctx, i, l.open(ctx, i)) })
		}
	}
	for range l.watchers {
		if err := <-seen.created; err != nil {
			return watchReport{}, err
		}
	}
	done := &puts{began: time.Now(), ofKey: make([]atomic.Int64, l.keys)}
	put(done)
	took := time.Since(done.began)
	sent := done.sent.Load()
	want := sent
	if !l.distinct {
		want *= int64(l.watchers)
	}
	for end := time.Now().Add(l.drain); seen.events.Load() < want && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
	cancel()
	seen.ended.Wait()
	lost := seen.lost(func(watcher int) int64 {
		if l.distinct {
			return done.ofKey[watcher].Load()
		}
		return sent
	})
	// Events are counted over the time in which they came: waiting in vain for lost ones is no part of it.
	total := max(took, time.Duration(seen.last.Load()-done.began.UnixNano()))
	p50, p99, max := seen.percentiles()
	lagP50, lagP99 := seen.lags.percentiles()
	return watchReport{
		Label: l.label, Operation: l.operation, Watchers: l.watchers, Requests: int(sent),
		PutRate:   round(float64(sent) / took.Seconds()),
		EventRate: round(float64(seen.events.Load()) / total.Seconds()),
		Lost:      lost, P50: p50, P99: p99, Max: max, LagP50: lagP50, LagP99: lagP99, Errors: seen.failed.count, LastError: seen.failed.last,
	}, nil
}

// open starts the watch of one watcher.
func (l *load) open(ctx context.Context, watcher int) clientv3.WatchChan {
	if l.distinct {
		return l.client(watcher).Watch(ctx, l.key(watcher), clientv3.WithCreatedNotify())
	}
	return l.client(watcher).Watch(ctx, l.prefix, clientv3.WithPrefix(), clientv3.WithCreatedNotify())
}
