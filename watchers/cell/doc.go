// Package cell holds what a host of a cell does for its own part of it: Copier brings the streams of a broker that was alone into
// a cluster. It opens no connection and decides nothing: what is done when is in the machines.
package cell
