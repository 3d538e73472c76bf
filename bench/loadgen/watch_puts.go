package main

import (
	"context"
	"fmt"
	"math/rand"
	"sync"
	"sync/atomic"
	"time"
)

// puts are those that succeeded while watchers were there. Every value begins with the time its put began, see stampOf.
type puts struct {
	began time.Time
	sent  atomic.Int64
	ofKey []atomic.Int64
	// clients that are not done.
	clients sync.WaitGroup
}

func (p *puts) add(key int) {
	p.sent.Add(1)
	p.ofKey[key].Add(1)
}

// firstPut is when a client begins: spread over their period if there is one, as all at once would be a burst, not a rate.
func (l *load) firstPut(client int) time.Duration {
	if l.rate == 0 {
		return 0
	}
	return time.Duration(float64(client) / float64(l.rate) * float64(time.Second))
}

// pauseUntilNext is what is left of a client's period.
func (l *load) pauseUntilNext(began time.Time) time.Duration {
	if l.rate == 0 {
		return 0
	}
	period := time.Duration(float64(l.options.clients) / float64(l.rate) * float64(time.Second))
	return period - time.Since(began)
}

// puts puts by clientv3 until the run is over.
func (l *load) puts(ctx context.Context, done *puts, seen *received) {
	for i := range l.options.clients {
		done.clients.Go(func() {
			random := rand.New(rand.NewSource(int64(i)))
			time.Sleep(l.firstPut(i))
			for time.Since(done.began) < l.duration {
				start := time.Now()
				key := random.Intn(l.keys)
				value := fmt.Sprintf("%d %s", start.UnixNano(), l.value)
				if _, err := l.client(i).Put(ctx, l.key(key), value); err != nil {
					seen.failed.add(err)
					time.Sleep(pauseAfterError)
					continue
				}
				seen.lags.answer(start)
				done.add(key)
				time.Sleep(l.pauseUntilNext(start))
			}
		})
	}
	done.clients.Wait()
}
