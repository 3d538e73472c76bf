package main

import (
	"math/rand"
	"strconv"
	"time"
)

// The puts of a watch by the lean client, on the connections of the watchers: the reader of a connection sends the next put of a client
// when it has the answer of the last, and a timer those that are to wait.

// leanPuts puts until the run is over.
func (l *load) leanPuts(connections []*leanWatch, done *puts) {
	for i := range l.options.clients {
		w := connections[i%len(connections)]
		client := &leanClient{random: rand.New(rand.NewSource(int64(i))), operation: "put"}
		w.mu.Lock()
		if w.broken == nil {
			done.clients.Add(1)
			w.puts = done
			w.putting++
			w.putIn(client, l.firstPut(i))
		}
		w.mu.Unlock()
	}
	done.clients.Wait()
}

func (w *leanWatch) putIn(client *leanClient, pause time.Duration) {
	time.AfterFunc(pause, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		err := w.put(client)
		if err == nil {
			err = w.writer.Flush()
		}
		if err != nil {
			// The reader then ends, and with it all clients of the connection.
			w.broken = err
			w.conn.Close()
		}
	})
}

// put sends the client's next put, unless the run is over.
func (w *leanWatch) put(client *leanClient) error {
	if w.broken != nil {
		return nil
	}
	client.began = time.Now()
	if client.began.Sub(w.puts.began) >= w.duration {
		w.putting--
		w.puts.clients.Done()
		return nil
	}
	client.keyNumber = client.random.Intn(w.keys)
	value := strconv.FormatInt(client.began.UnixNano(), 10) + " " + w.value
	w.message = appendPut(w.message[:0], w.key(client.keyNumber), value)
	return w.call(client, putPath, w.message)
}

// putEnded takes the answer of a put.
func (w *leanWatch) putEnded(client *leanClient) error {
	if _, err := w.check(client); err != nil {
		w.failed.add(err)
		w.putIn(client, pauseAfterError)
		return nil
	}
	w.puts.add(client.keyNumber)
	if pause := w.pauseUntilNext(client.began); pause > 0 {
		w.putIn(client, pause)
		return nil
	}
	return w.put(client)
}
