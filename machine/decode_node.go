package machine

import (
	"strconv"

	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/machine/strict"
)

// sources is a list of states, or "*" on its own.
type sources []string

// UnmarshalNode implements strict.Unmarshaler.
func (s *sources) UnmarshalNode(n *strict.Node, opts strict.Options) diag.List {
	if n.Kind == strict.Scalar && n.Value == anyState {
		*s = sources{anyState}
		return nil
	}
	states, list := decodeList[string]("from", n, opts)
	*s = states
	return list
}

// subscriptionsYAML is a list of subscriptions, or one on its own.
type subscriptionsYAML []subscriptionYAML

// UnmarshalNode implements strict.Unmarshaler.
func (s *subscriptionsYAML) UnmarshalNode(n *strict.Node, opts strict.Options) diag.List {
	items, list := decodeList[subscriptionYAML]("subscribe", asList(n, opts), opts)
	*s = items
	return list
}

// foreignStatesYAML is a list of foreign states, or one on its own.
type foreignStatesYAML []foreignStateYAML

// UnmarshalNode implements strict.Unmarshaler.
func (s *foreignStatesYAML) UnmarshalNode(n *strict.Node, opts strict.Options) diag.List {
	items, list := decodeList[foreignStateYAML]("foreign_state_required", asList(n, opts), opts)
	*s = items
	return list
}

// asList reads a mapping that stands where a list belongs as a list of one, as Choria's published
// schema has it. Format 1 asks for the list.
func asList(n *strict.Node, opts strict.Options) *strict.Node {
	if n.Kind != strict.Mapping || opts.Unknown == diag.Error {
		return n
	}
	return &strict.Node{Kind: strict.Sequence, Pos: n.Pos, Items: []*strict.Node{n}}
}

// decodeList decodes a list under the name of its key, so that messages name it.
func decodeList[T any](key string, n *strict.Node, opts strict.Options) ([]T, diag.List) {
	document := &strict.Node{Kind: strict.Mapping, Pos: n.Pos, Fields: []strict.Field{{Key: key, Pos: n.Pos, Value: n}}}
	y := map[string][]T{}
	list := strict.Decode(document, &y, opts)
	return y[key], list
}

// item returns the node of a list's item that strict.Decode has read. n may be nil.
func item(n *strict.Node, i int) *strict.Node {
	if n == nil {
		return nil
	}
	if n.Kind == strict.Mapping { // one on its own, see asList
		return n
	}
	return n.Items[i]
}

// placesOf returns the places of everything inside a mapping, by path: "when", "from.0", "on.changed".
// What has places of its own is left out: the properties of watchers, and the lists of the top level.
func placesOf(n *strict.Node) map[string]diag.Position {
	places := map[string]diag.Position{}
	gatherPlaces(places, "", n)
	return places
}

func gatherPlaces(places map[string]diag.Position, prefix string, n *strict.Node) {
	for _, f := range n.Fields {
		places[prefix+f.Key] = f.Value.Pos
		if f.Key != "properties" && f.Key != "watchers" && f.Key != "transitions" {
			gatherPlaces(places, prefix+f.Key+".", f.Value)
		}
	}
	for i, item := range n.Items {
		key := prefix + strconv.Itoa(i)
		places[key] = item.Pos
		gatherPlaces(places, key+".", item)
	}
}
