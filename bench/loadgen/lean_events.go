package main

import (
	"fmt"
	"time"
)

// Messages of a watch. Of an event the lean client reads no more than the begin of the value, where the time of the put stands.

// response takes a WatchResponse that arrived at `now`, in nanoseconds.
func (w *leanWatch) response(message []byte, now int64) error {
	var (
		watcher           int64
		created, canceled bool
		reason            string
		before            = w.events
	)
	for len(message) > 0 {
		tag, value, bytes, rest, err := nextField(message)
		if err != nil {
			return err
		}
		switch tag {
		case 0x10: // watch_id
			watcher = int64(value)
		case 0x18:
			created = value == 1
		case 0x20:
			canceled = value == 1
		case 0x32: // cancel_reason
			reason = string(bytes)
		case 0x5a: // events
			if err := w.event(bytes, now); err != nil {
				return err
			}
		}
		message = rest
	}
	if created && !canceled {
		return w.open(watcher)
	}
	if created {
		return fmt.Errorf("watch: the server does not create one: %s", reason)
	}
	known := w.watchers[watcher]
	if known == nil {
		return fmt.Errorf("watch: a response for %d, which is none of the connection", watcher)
	}
	if canceled {
		// What it misses is lost; the others of the stream go on.
		w.failed.add(fmt.Errorf("watch: the server ended one: %s", reason))
		return nil
	}
	known.events += w.events - before
	w.newestSeen = now
	return nil
}

// open takes that the next watcher is there: the server answers in the order of the requests.
func (w *leanWatch) open(watcher int64) error {
	if w.watchers[watcher] != nil || len(w.watchers) == w.ownWatchers() {
		return fmt.Errorf("watch: the server created %d, which nobody asked for", watcher)
	}
	w.watchers[watcher] = &leanWatcher{number: w.number + len(w.watchers)*w.connections}
	w.seen.created <- nil
	return nil
}

// event takes an Event. One of a key that was filled, not put by this run, does not count.
func (w *leanWatch) event(message []byte, now int64) error {
	for len(message) > 0 {
		tag, _, bytes, rest, err := nextField(message)
		if err != nil {
			return err
		}
		message = rest
		if tag == 0x2a { // KeyValue.value
			if began, ok := stampOf(bytes); ok {
				w.latencies = append(w.latencies, milliseconds(time.Duration(now-began)))
				w.events++
			}
			return nil
		}
		if tag == 0x12 { // Event.kv, which is where it goes on
			message = bytes
		}
	}
	return nil
}
