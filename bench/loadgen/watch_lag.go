package main

import (
	"sync"
	"time"
)

// arrival is an event at a watcher: when its put began and when it came, in nanoseconds.
type arrival struct{ began, came int64 }

// lags tell how much later than the client that put a watcher knew: the time from the answer to a put to its event, zero if the event
// was first. They are kept for puts at a rate alone: that bounds how many they are. The methods of nil do nothing.
type lags struct {
	mu sync.Mutex
	// answered is when a put had its answer, by when it began, both in nanoseconds. The clients take turns: no two begin at once.
	answered map[int64]int64
	arrivals []arrival
}

func newLags() *lags { return &lags{answered: map[int64]int64{}} }

// answer is to be called when the answer to a put is there.
func (l *lags) answer(began time.Time) {
	if l == nil {
		return
	}
	now := time.Now().UnixNano()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.answered[began.UnixNano()] = now
}

func (l *lags) arrive(began, came int64) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.arrivals = append(l.arrivals, arrival{began, came})
}

// percentiles are those of all watchers' events together, once all have come; zero if none were kept.
func (l *lags) percentiles() (p50, p99 float64) {
	if l == nil {
		return 0, 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	all := &latencies{}
	for _, one := range l.arrivals {
		// A put that failed may have been done all the same.
		if answered, ok := l.answered[one.began]; ok {
			all.add(milliseconds(time.Duration(max(0, one.came-answered))))
		}
	}
	p50, p99, _ = all.percentiles()
	return p50, p99
}
