// Package inventory holds the watchers that bring what a node is to who asks: inventory makes a node's document, ingest takes such documents
// into a stream, and view keeps the last of each node and answers questions about all of them.
package inventory
