package delivery

import (
	"container/list"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"sync"
	"time"

	"github.com/statecraft-io/statecraft/watchers/supervise"
)

// objectCache keeps objects in memory, those that were asked for last. Of many who ask for the same at once, one reads it. Safe for concurrent use.
type objectCache struct {
	most    int64         // bytes
	crowd   int           // how many may wait for what is being read
	reading chan struct{} // holds one for each read at this moment

	mu      sync.Mutex
	held    int64
	order   *list.List // of *cachedObject, the one that was asked for last in front
	objects map[string]*list.Element
	waiting map[string][]func(data []byte, err error) // for what is being read
	waiters int
}

type cachedObject struct {
	name  string
	data  []byte
	until time.Time // zero is for as long as there is room
}

// maxReading is how many objects are read at once.
const maxReading = 4

func newObjectCache(most int64, crowd int) *objectCache {
	return &objectCache{most: most, crowd: crowd, reading: make(chan struct{}, maxReading), order: list.New(), objects: map[string]*list.Element{}, waiting: map[string][]func([]byte, error){}}
}

func (c *objectCache) get(name string) ([]byte, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.objects[name]
	if e == nil {
		return nil, false
	}
	o := e.Value.(*cachedObject)
	if !o.until.IsZero() && time.Now().After(o.until) { //nolint:forbidigo // how long memory keeps something is no decision of a machine
		c.drop(e)
		return nil, false
	}
	c.order.MoveToFront(e)
	return o.data, true
}

// errCrowd is what those hear who cannot even wait.
var errCrowd = errors.New("as many wait as may")

// load reads an object beside the caller, unless somebody does already, and tells done of it. lasting is how long it is kept at most; 0 is
// for as long as there is room.
func (c *objectCache) load(ctx context.Context, name string, lasting time.Duration, read func() ([]byte, error), done func(data []byte, err error)) {
	waits, first := c.wait(name, done)
	if !waits {
		done(nil, errCrowd)
	}
	if !first {
		return
	}
	supervise.Go(ctx, func() {
		var data []byte
		err := errCutShort
		defer func() { c.loaded(name, lasting, data, err) }()
		select {
		case c.reading <- struct{}{}:
		case <-ctx.Done():
			return
		}
		defer func() { <-c.reading }()
		data, err = read()
	})
}

// wait notes who waits for an object, and reports whether they may, and are the first.
func (c *objectCache) wait(name string, done func(data []byte, err error)) (waits, first bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waiters >= c.crowd {
		return false, false
	}
	asked, reading := c.waiting[name]
	c.waiting[name] = append(asked, done)
	c.waiters++
	return true, !reading
}

// errCutShort is what those hear who wait for a read that panics.
var errCutShort = errors.New("the read was cut short")

// loaded keeps what was read, and tells those who wait for it.
func (c *objectCache) loaded(name string, lasting time.Duration, data []byte, err error) {
	c.mu.Lock()
	if err == nil {
		c.keep(name, data, lasting)
	}
	told := c.waiting[name]
	delete(c.waiting, name)
	c.waiters -= len(told)
	c.mu.Unlock()
	for _, tell := range told {
		tell(data, err)
	}
}

// keep keeps an object, and drops others until there is room; under the lock.
func (c *objectCache) keep(name string, data []byte, lasting time.Duration) {
	if old := c.objects[name]; old != nil {
		c.drop(old)
	}
	o := &cachedObject{name: name, data: data}
	if lasting > 0 {
		o.until = time.Now().Add(lasting) //nolint:forbidigo // as above
	}
	for c.held+int64(len(data)) > c.most && c.order.Len() > 0 {
		c.drop(c.order.Back())
	}
	if int64(len(data)) > c.most {
		return
	}
	c.objects[name] = c.order.PushFront(o)
	c.held += int64(len(data))
}

func (c *objectCache) drop(e *list.Element) {
	o := c.order.Remove(e).(*cachedObject)
	delete(c.objects, o.name)
	c.held -= int64(len(o.data))
}

func digestOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
