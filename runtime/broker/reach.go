package broker

import (
	"fmt"
	"net"
	"reflect"
	"sync"
	"unsafe"

	"github.com/nats-io/nats-server/v2/server"
)

// The functions of this file set what nats-server keeps by listener and by connection and has no option for: record 15 says why that is
// better than a proxy. Each field is looked up by its name and held to its type, so that a release of nats-server that has it
// otherwise ends the start of the broker with an error, and its tests.

// field finds a field of a struct by the names that lead to it.
func field[T any](of any, path ...string) (*T, error) {
	v := reflect.Indirect(reflect.ValueOf(of))
	for _, name := range path {
		if v.Kind() != reflect.Struct {
			return nil, fmt.Errorf("nats-server: %T has no field %v", of, path)
		}
		v = v.FieldByName(name)
	}
	if !v.IsValid() || !v.CanAddr() || v.Type() != reflect.TypeFor[T]() {
		return nil, fmt.Errorf("nats-server: %T has no field %v of the type %s; build with the release that go.mod names", of, path, reflect.TypeFor[T]())
	}
	return (*T)(unsafe.Pointer(v.UnsafeAddr())), nil
}

// listenWith makes a server that has not been started accept its clients from l.
func listenWith(s *server.Server, l net.Listener) error {
	at, err := field[net.Listener](s, "listener")
	if err == nil {
		*at = l
	}
	return err
}

// hold sets what a connection may take, after its user is registered, which sets it to what the server allows everybody.
func (q Quota) hold(c any) error {
	mu, err := field[sync.RWMutex](c, "mu")
	if err != nil {
		return err
	}
	subscriptions, err := field[int32](c, "msubs")
	if err != nil {
		return err
	}
	pending, err := field[int64](c, "out", "mp")
	if err != nil {
		return err
	}
	mu.Lock()
	defer mu.Unlock()
	*subscriptions, *pending = int32(q.Subscriptions), q.Pending
	return nil
}
