package overlay

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/statecraft-io/statecraft/runtime/broker"
	"github.com/statecraft-io/statecraft/runtime/identity"
	"github.com/statecraft-io/statecraft/runtime/statefile"
	"github.com/statecraft-io/statecraft/watchers/messaging"
)

// The files of a client's folder.
const (
	clientFile    = "context.json"
	clientKeyFile = "client.key"
)

// Client is where and as whom a person or a program connects to a cell, context.json of its folder. The key stands beside it.
type Client struct {
	Cell  string   `json:"cell"`
	URLs  []string `json:"urls"`
	CA    string   `json:"ca"`
	Token string   `json:"token"`

	key *identity.Key
}

func (c *Client) encode() ([]byte, error) { return json.MarshalIndent(c, "", "  ") }

// OpenClient reads a client's folder.
func OpenClient(dir string) (*Client, error) {
	context := filepath.Join(dir, clientFile)
	err := identity.CheckRead(context)
	var data []byte
	if err == nil {
		data, err = statefile.Read(context)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the client's context: %w", err)
	}
	var c Client
	if err := json.Unmarshal(data, &c); err != nil {
		return nil, fmt.Errorf("reading the client's context %s: %w", context, err)
	}
	if c.key, err = identity.LoadKey(filepath.Join(dir, clientKeyFile)); err != nil {
		return nil, fmt.Errorf("reading the client's key: %w", err)
	}
	return &c, nil
}

// Credentials are what a connection of the client is made with.
func (c *Client) Credentials() (*messaging.Credentials, error) {
	claims, err := identity.Inspect(c.Token)
	if err != nil {
		return nil, fmt.Errorf("the client's token: %w", err)
	}
	tls, err := identity.CATLS(c.CA)
	if err != nil {
		return nil, fmt.Errorf("the client's certificate authority: %w", err)
	}
	return &messaging.Credentials{
		URLs: c.URLs, TLS: tls, Key: c.key, Token: c.Token, InboxPrefix: broker.InboxPrefix(claims, c.key.Public()), Expires: claims.Expires,
	}, nil
}

// Connection is a client's open connection to a cell.
type Connection struct {
	*nats.Conn
	pool *messaging.Pool
}

// Connect opens a connection and waits for it until ctx ends. The caller closes it.
func (c *Client) Connect(ctx context.Context, log *slog.Logger) (*Connection, error) {
	const self = "client"
	pool := messaging.NewPool(func(string, string) (*messaging.Credentials, error) { return c.Credentials() }, log)
	if err := pool.Keep(context.WithoutCancel(ctx), self, self); err != nil {
		pool.Close()
		return nil, err
	}
	conn, err := pool.Wait(ctx, self, self)
	if err != nil {
		pool.Close()
		return nil, fmt.Errorf("connecting to cell %s at %s: %w", c.Cell, strings.Join(c.URLs, ", "), err)
	}
	return &Connection{Conn: conn, pool: pool}, nil
}

// Close closes the connection.
func (c *Connection) Close() { c.pool.Close() }
