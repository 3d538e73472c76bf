package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
)

// Watches of the lean client: one stream a connection with many watchers on it, as clientv3 has it, and the puts on the same connections.

const watchPath = "/etcdserverpb.Watch/Watch"

type leanWatch struct {
	*leanConnection
	// number of this connection, whose watchers are every so many-th from it on.
	number int
	seen   *received
	// stream of the watchers. Its window is the one of every stream, less what was sent, more what was granted since.
	stream        uint32
	sent, granted int
	unreadHere    int
	// pending holds a message until it is whole.
	pending []byte
	// watchers by the number the server gave them, which is in every response.
	watchers   map[int64]*leanWatcher
	latencies  []float64
	events     int64
	newestSeen int64

	// mu guards what both the reader and the puts use: writer, calls and header table. A put may have to begin at a time of its own.
	mu   sync.Mutex
	puts *puts
	// putting is how many clients of this connection are not done with their puts.
	putting int
	// broken is why the connection has ended.
	broken error
}

type leanWatcher struct {
	number int
	events int64
}

// leanWatches opens all watchers and reports each of them to seen.created; they end with ctx.
func (l *load) leanWatches(ctx context.Context, seen *received) ([]*leanWatch, error) {
	endpoints := strings.Split(l.endpoints, ",")
	connections := make([]*leanWatch, 0, l.connections)
	for i := range l.connections {
		c, err := l.leanConnect(endpoints[i%len(endpoints)])
		if err != nil {
			return nil, err
		}
		w := &leanWatch{leanConnection: c, number: i, seen: seen, stream: c.nextID, watchers: map[int64]*leanWatcher{}}
		c.nextID += 2
		c.failed = &seen.failed
		c.on, c.ended, c.beforeRead = w.onFrame, w.putEnded, w.report
		context.AfterFunc(ctx, func() { c.conn.Close() })
		seen.ended.Go(func() { w.end(ctx, w.follow()) })
		connections = append(connections, w)
	}
	return connections, nil
}

// ownWatchers is how many watchers this connection has.
func (w *leanWatch) ownWatchers() int {
	return max(0, w.load.watchers-w.number+w.connections-1) / w.connections
}

// follow opens the watchers and reads until the connection ends. No put is under way before all of them are there.
func (w *leanWatch) follow() error {
	for i := range w.ownWatchers() {
		message := w.createRequest(w.number + i*w.connections)
		bytes := grpcPrefix + len(message)
		if i == 0 {
			w.frame(frameHeaders, flagEndHeaders, w.stream, w.block(watchPath))
		}
		for bytes > min(w.sendWindow, w.streamWindow-w.sent+w.granted) {
			if err := w.readFrame(); err != nil {
				return err
			}
		}
		w.sent += bytes
		if err := w.send(w.stream, 0, message); err != nil {
			return err
		}
	}
	for {
		if err := w.readFrame(); err != nil {
			return err
		}
	}
}

// end leaves the counts of the watchers, and tells those who wait if the connection ended before its time.
func (w *leanWatch) end(ctx context.Context, err error) {
	w.report()
	for _, watcher := range w.watchers {
		w.seen.counts[watcher.number] = watcher.events
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.broken == nil {
		w.broken = err
	}
	err = w.broken
	if ctx.Err() == nil {
		w.failed.add(err)
	}
	if len(w.watchers) < w.ownWatchers() {
		w.seen.created <- err
	}
	for range len(w.clients) + len(w.held) {
		w.failed.add(err)
	}
	for ; w.putting > 0; w.putting-- {
		w.puts.clients.Done()
	}
}

// createRequest is the WatchRequest of a watcher.
func (w *leanWatch) createRequest(watcher int) []byte {
	create := appendRange(nil, w.prefix, prefixEnd(w.prefix), 0)
	if w.distinct {
		create = appendRange(nil, w.key(watcher), "", 0)
	}
	return appendBytes(nil, 0x0a, string(create))
}

// report tells of the events since the last time, and sends what is to be sent.
func (w *leanWatch) report() error {
	if w.events > 0 {
		w.seen.add(w.latencies...)
		w.seen.last.Store(w.newestSeen)
		w.seen.events.Add(w.events)
		w.latencies, w.events = w.latencies[:0], 0
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.writer.Flush()
}

func (w *leanWatch) onFrame(kind, flags byte, id uint32, payload []byte) error {
	if kind == frameData && id == w.stream {
		if flags&flagEndStream != 0 {
			return errors.New("watch: the server ended the stream without trailers")
		}
		w.consumed(len(payload))
		return w.messages(payload)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if id != w.stream {
		return w.leanConnection.onFrame(kind, flags, id, payload)
	}
	switch kind {
	case frameHeaders:
		if flags&flagEndHeaders == 0 {
			return errors.New("watch: HEADERS in several frames")
		}
		// Read even if they are of no interest: they may change the table that the next ones refer to.
		if err := w.fields(payload); err != nil {
			return err
		}
		if flags&flagEndStream != 0 {
			return fmt.Errorf("watch: the server ended the stream with grpc-status %q", w.status)
		}
	case frameReset:
		return fmt.Errorf("watch: stream %d was reset with %d", id, binary.BigEndian.Uint32(payload))
	case frameWindowUpdate:
		w.granted += int(binary.BigEndian.Uint32(payload))
	default:
		return fmt.Errorf("watch: a frame of type %d on stream %d", kind, id)
	}
	return nil
}

// consumed lets the server send on.
func (w *leanWatch) consumed(bytes int) {
	w.unread += bytes
	w.unreadHere += bytes
	if w.unreadHere < leanStreamWindow/2 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.grant(0, w.unread)
	w.grant(w.stream, w.unreadHere)
	w.unread, w.unreadHere = 0, 0
}

// messages takes what is whole of the messages in the payload, and keeps the rest.
func (w *leanWatch) messages(payload []byte) error {
	rest := payload
	if len(w.pending) > 0 {
		w.pending = append(w.pending, payload...)
		rest = w.pending
	}
	for len(rest) >= grpcPrefix {
		length := int(binary.BigEndian.Uint32(rest[1:]))
		if rest[0] != 0 {
			return errors.New("watch: a compressed answer")
		}
		if len(rest)-grpcPrefix < length {
			break
		}
		if err := w.response(rest[grpcPrefix:grpcPrefix+length], time.Now().UnixNano()); err != nil {
			return err
		}
		rest = rest[grpcPrefix+length:]
	}
	w.pending = append(w.pending[:0], rest...)
	return nil
}
