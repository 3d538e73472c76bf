package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/sync/errgroup"
)

const (
	fillers = 64
	// A server that refuses is not hammered in a busy loop.
	pauseAfterError = time.Millisecond
)

var errExists = errors.New("create: the key exists")

type load struct {
	options
	clients []*clientv3.Client
	value   string
	// started makes the keys of this run differ from those of every other run.
	started int64
	created atomic.Int64
}

func (l *load) key(i int) string { return fmt.Sprintf("%s%08d", l.prefix, i) }

func (l *load) client(i int) *clientv3.Client { return l.clients[i%len(l.clients)] }

var operations = map[string]func(*load, context.Context, *clientv3.Client, *rand.Rand) error{
	"put": func(l *load, ctx context.Context, c *clientv3.Client, r *rand.Rand) error {
		_, err := c.Put(ctx, l.key(r.Intn(l.keys)), l.value)
		return err
	},
	"get": func(l *load, ctx context.Context, c *clientv3.Client, r *rand.Rand) error {
		_, err := c.Get(ctx, l.key(r.Intn(l.keys)))
		return err
	},
	"list": func(l *load, ctx context.Context, c *clientv3.Client, _ *rand.Rand) error {
		_, err := c.Get(ctx, l.prefix, clientv3.WithPrefix(), clientv3.WithLimit(l.limit))
		return err
	},
	"create": (*load).create,
	"update": (*load).update,
}

func (l *load) create(ctx context.Context, c *clientv3.Client, _ *rand.Rand) error {
	number := l.created.Add(1)
	answer, err := l.putIfAt(ctx, c, l.createdKey(number), 0)
	if err == nil && !answer {
		return errExists
	}
	if err == nil && l.keep > 0 && number > l.keep {
		_, err = c.Delete(ctx, l.createdKey(number-l.keep))
	}
	return err
}

func (l *load) createdKey(number int64) string {
	return fmt.Sprintf("%screate/%d/%d", l.prefix, l.started, number)
}

func (l *load) update(ctx context.Context, c *clientv3.Client, r *rand.Rand) error {
	key := l.key(r.Intn(l.keys))
	for {
		found, err := c.Get(ctx, key)
		if err != nil {
			return err
		}
		var revision int64
		if len(found.Kvs) > 0 {
			revision = found.Kvs[0].ModRevision
		}
		if written, err := l.putIfAt(ctx, c, key, revision); err != nil || written {
			return err
		}
	}
}

// putIfAt is the kube-apiserver's transaction: write if the key is still at this revision (0: absent), else read it.
func (l *load) putIfAt(ctx context.Context, c *clientv3.Client, key string, revision int64) (bool, error) {
	answer, err := c.Txn(ctx).
		If(clientv3.Compare(clientv3.ModRevision(key), "=", revision)).
		Then(clientv3.OpPut(key, l.value)).
		Else(clientv3.OpGet(key)).
		Commit()
	if err != nil {
		return false, err
	}
	return answer.Succeeded, nil
}

func (l *load) mix(ctx context.Context, c *clientv3.Client, r *rand.Rand) error {
	return operations[mixed(r)](l, ctx, c, r)
}

// mixed is the operation of a mix that comes next.
func mixed(random *rand.Rand) string {
	switch dice := random.Intn(100); {
	case dice < 70:
		return "get"
	case dice < 90:
		return "update"
	case dice < 95:
		return "list"
	}
	return "create"
}

// request keeps every client busy until the run is over.
func (l *load) request(ctx context.Context) report {
	do := operations[l.operation]
	if l.operation == "mix" {
		do = (*load).mix
	}
	var (
		all    latencies
		failed failures
		wait   sync.WaitGroup
	)
	began := time.Now().Add(l.lead)
	for i := range l.options.clients {
		wait.Go(func() {
			random := rand.New(rand.NewSource(int64(i) + l.started))
			var own []float64
			for time.Since(began) < l.duration {
				start := time.Now()
				if err := do(l, ctx, l.client(i), random); err != nil {
					failed.add(err)
					time.Sleep(pauseAfterError)
					continue
				}
				if !start.Before(began) {
					own = append(own, milliseconds(time.Since(start)))
				}
			}
			all.add(own...)
		})
	}
	wait.Wait()
	took := time.Since(began).Seconds()
	p50, p99, max := all.percentiles()
	return report{
		Label: l.label, Operation: l.operation, Clients: l.options.clients, Requests: len(all.values),
		Rate: round(float64(len(all.values)) / took), P50: p50, P99: p99, Max: max, Errors: failed.count, LastError: failed.last,
	}
}

// fill puts every key once, -fill-batch of them in one transaction.
func (l *load) fill(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	var next atomic.Int64
	batch := int64(max(l.fillBatch, 1))
	for i := range fillers {
		group.Go(func() error {
			for {
				from := next.Add(batch) - batch
				to := min(from+batch, int64(l.keys))
				if from >= to {
					return nil
				}
				if err := l.fillRange(ctx, l.client(i), int(from), int(to)); err != nil {
					return err
				}
			}
		})
	}
	return group.Wait()
}

func (l *load) fillRange(ctx context.Context, c *clientv3.Client, from, to int) error {
	if to == from+1 {
		_, err := c.Put(ctx, l.key(from), l.value)
		return err
	}
	puts := make([]clientv3.Op, 0, to-from)
	for i := from; i < to; i++ {
		puts = append(puts, clientv3.OpPut(l.key(i), l.value))
	}
	_, err := c.Txn(ctx).Then(puts...).Commit()
	return err
}
