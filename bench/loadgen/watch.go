package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// received is what all watchers together have seen.
type received struct {
	latencies
	events atomic.Int64
	// last is when the newest event arrived, in nanoseconds.
	last atomic.Int64
}

// follow reads one watch to its end. Every value begins with the time its put began, in nanoseconds.
func (r *received) follow(watch clientv3.WatchChan, created chan<- error) {
	first := true
	for answer := range watch {
		if first {
			first = false
			created <- answer.Err()
		}
		now := time.Now().UnixNano()
		own := make([]float64, 0, len(answer.Events))
		for _, event := range answer.Events {
			stamp, _, _ := strings.Cut(string(event.Kv.Value), " ")
			began, err := strconv.ParseInt(stamp, 10, 64)
			if err != nil {
				continue // a key that was filled, not put by this run
			}
			own = append(own, milliseconds(time.Duration(now-began)))
		}
		r.add(own...)
		r.events.Add(int64(len(own)))
		r.last.Store(now)
	}
	if first {
		created <- errors.New("the watch ended before it was created")
	}
}

// watch opens the watchers, then puts until the run is over, then waits for the events still under way.
func (l *load) watch(ctx context.Context) (watchReport, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var seen received
	created := make(chan error, l.watchers)
	for i := range l.watchers {
		go func() {
			seen.follow(l.client(i).Watch(ctx, l.prefix, clientv3.WithPrefix(), clientv3.WithCreatedNotify()), created)
		}()
	}
	for range l.watchers {
		if err := <-created; err != nil {
			return watchReport{}, err
		}
	}
	var failed failures
	began := time.Now()
	sent := l.puts(ctx, began, &failed)
	took := time.Since(began)
	want := sent * int64(l.watchers)
	for end := time.Now().Add(l.drain); seen.events.Load() < want && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
	cancel()
	// Events are counted over the time in which they came: waiting in vain for lost ones is no part of it.
	total := max(took, time.Duration(seen.last.Load()-began.UnixNano()))
	p50, p99, max := seen.percentiles()
	return watchReport{
		Label: l.label, Operation: l.operation, Watchers: l.watchers, Requests: int(sent),
		PutRate:   round(float64(sent) / took.Seconds()),
		EventRate: round(float64(seen.events.Load()) / total.Seconds()),
		Lost:      want - seen.events.Load(), P50: p50, P99: p99, Max: max, Errors: failed.count, LastError: failed.last,
	}, nil
}

// puts returns how many puts succeeded.
func (l *load) puts(ctx context.Context, began time.Time, failed *failures) int64 {
	var (
		sent atomic.Int64
		wait sync.WaitGroup
	)
	for i := range l.options.clients {
		wait.Go(func() {
			random := rand.New(rand.NewSource(int64(i)))
			for time.Since(began) < l.duration {
				start := time.Now()
				value := fmt.Sprintf("%d %s", start.UnixNano(), l.value)
				if _, err := l.client(i).Put(ctx, l.key(random.Intn(l.keys)), value); err != nil {
					failed.add(err)
					time.Sleep(pauseAfterError)
					continue
				}
				sent.Add(1)
				if l.rate > 0 {
					share := time.Duration(float64(l.options.clients) / float64(l.rate) * float64(time.Second))
					time.Sleep(share - time.Since(start))
				}
			}
		})
	}
	wait.Wait()
	return sent.Load()
}
