package watchers

import (
	"context"
	"errors"
)

// ErrTooMany is the cause where as many instances run as an order allows.
var ErrTooMany = errors.New("as many instances run as may")

// Spawner starts instances of templates; the host implements it.
type Spawner interface {
	// Spawn starts an instance of a template that runs as the same identity. It returns false where an instance of that key runs
	// already, which is then left as it is. Errors are an unknown template, a host that stops, or one whose limit of
	// instances is reached (ErrTooMany).
	Spawn(ctx context.Context, order SpawnOrder) (started bool, err error)
}

// SpawnOrder says which instance is wanted.
type SpawnOrder struct {
	Identity string // who the instance runs as: the look's own
	Template string // the manifest's name
	Key      string // names the instance among those of its template
	Input    map[string]any
	// Limit is how many instances of the template may run at once; 0 is no limit.
	Limit int
	// For is whom the instance is for, and LimitFor how many of the template may run at once for the same; 0 is no limit.
	For      string
	LimitFor int
}

// SpawnerFunc is a Spawner that is a function.
type SpawnerFunc func(ctx context.Context, order SpawnOrder) (bool, error)

// Spawn implements Spawner.
func (f SpawnerFunc) Spawn(ctx context.Context, order SpawnOrder) (bool, error) { return f(ctx, order) }
