package main

import (
	"math"
	"slices"
	"sync"
	"time"
)

// report is the line printed for a run of requests. Latencies are in milliseconds.
type report struct {
	Label     string  `json:"label"`
	Operation string  `json:"op"`
	Clients   int     `json:"clients"`
	Requests  int     `json:"requests"`
	Rate      float64 `json:"rps"`
	P50       float64 `json:"p50_ms"`
	P99       float64 `json:"p99_ms"`
	Max       float64 `json:"max_ms"`
	Errors    int64   `json:"errs"`
	LastError string  `json:"lastErr"`
}

// watchReport is the line printed for -op watch. Lost counts events that had not arrived when -drain was over. Latencies are from the begin
// of a put to its event, lags from the answer to it; those are zero without a -rate
// and with the lean client.
type watchReport struct {
	Label     string  `json:"label"`
	Operation string  `json:"op"`
	Watchers  int     `json:"watchers"`
	Requests  int     `json:"requests"`
	PutRate   float64 `json:"puts_per_s"`
	EventRate float64 `json:"events_per_s"`
	Lost      int64   `json:"lost"`
	P50       float64 `json:"p50_ms"`
	P99       float64 `json:"p99_ms"`
	Max       float64 `json:"max_ms"`
	LagP50    float64 `json:"lag_p50_ms"`
	LagP99    float64 `json:"lag_p99_ms"`
	Errors    int64   `json:"errs"`
	LastError string  `json:"lastErr"`
}

// latencies collects what many clients measured.
type latencies struct {
	mu     sync.Mutex
	values []float64
}

func (l *latencies) add(values ...float64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.values = append(l.values, values...)
}

// percentiles returns the median, the 99th percentile and the largest latency.
func (l *latencies) percentiles() (p50, p99, max float64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.values) == 0 {
		return 0, 0, 0
	}
	slices.Sort(l.values)
	at := func(p float64) float64 { return round(l.values[int(p*float64(len(l.values)-1))]) }
	return at(0.5), at(0.99), at(1)
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func round(f float64) float64 { return math.Round(f*100) / 100 }

// failures counts errors and keeps the last one.
type failures struct {
	mu    sync.Mutex
	count int64
	last  string
}

func (f *failures) add(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.count++
	f.last = err.Error()
}
