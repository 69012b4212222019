// Package inventory holds the watchers that bring what a node is to who asks: inventory makes a node's document, and ingest takes such
// documents into a stream.
package inventory
