package strict

import (
	"strings"

	"github.com/statecraft-io/statecraft/machine/diag"
	"gopkg.in/yaml.v3"
)

// node converts a node of the library's tree, refusing what a document may not hold.
func (p *parser) node(y *yaml.Node, depth int) *Node {
	n := &Node{Pos: p.at(y)}
	if depth > MaxDepth {
		p.tooDeep(n.Pos)
		return n
	}
	if p.nodes++; p.nodes > MaxNodes {
		if p.nodes == MaxNodes+1 {
			p.fail(CodeTooMany, n.Pos, "split the document", "the document holds more than %d values", MaxNodes)
		}
		return n
	}
	p.checkAnchor(y)
	switch y.Kind {
	case yaml.ScalarNode:
		p.scalar(n, y)
	case yaml.SequenceNode:
		n.Kind = Sequence
		n.Items = make([]*Node, 0, len(y.Content))
		for _, item := range y.Content {
			n.Items = append(n.Items, p.node(item, depth+1))
		}
	case yaml.MappingNode:
		n.Kind = Mapping
		p.mapping(n, y, depth)
	}
	return n
}

func (p *parser) tooDeep(at diag.Position) {
	p.fail(CodeDepth, at, "flatten the document", "values are nested deeper than %d levels", MaxDepth)
}

const hintAlias = "write the value out where it is needed; put text that begins with * or & into quotes"

func (p *parser) checkAnchor(y *yaml.Node) {
	if y.Kind == yaml.AliasNode {
		p.fail(CodeAlias, p.at(y), hintAlias, "the alias *%s is not allowed", y.Value)
		return
	}
	if y.Anchor != "" {
		p.fail(CodeAlias, p.at(y), hintAlias, "the anchor &%s is not allowed", y.Anchor)
	}
	p.checkTag(y)
}

// checkTag admits the tags that say what would be understood anyway, and !!str, which quotes.
func (p *parser) checkTag(y *yaml.Node) {
	if y.Style&yaml.TaggedStyle == 0 {
		return
	}
	switch {
	case y.Tag == "!!str" && y.Kind == yaml.ScalarNode,
		y.Tag == "!!seq" && y.Kind == yaml.SequenceNode,
		y.Tag == "!!map" && y.Kind == yaml.MappingNode:
	default:
		p.fail(CodeTag, p.at(y), "write the value without a tag; quotes make it text", "the tag %s is not allowed here", y.Tag)
	}
}

func (p *parser) scalar(n *Node, y *yaml.Node) {
	n.Value = y.Value
	n.Quoted = quoted(y)
	n.Kind = Scalar
	if !n.Quoted && isNull(n.Value) {
		n.Kind = Null
	}
	if strings.IndexByte(n.Value, 0) >= 0 {
		p.fail(CodeControl, n.Pos, `remove the escape \0`, "the text holds a NUL character")
	}
}

func quoted(y *yaml.Node) bool {
	const text = yaml.SingleQuotedStyle | yaml.DoubleQuotedStyle | yaml.LiteralStyle | yaml.FoldedStyle
	return y.Style&text != 0 || y.Style&yaml.TaggedStyle != 0 && y.Tag == "!!str"
}

func (p *parser) mapping(n *Node, y *yaml.Node, depth int) {
	n.Fields = make([]Field, 0, len(y.Content)/2)
	lines := make(map[string]int, len(y.Content)/2)
	for i := 0; i+1 < len(y.Content); i += 2 {
		key, ok := p.key(y.Content[i], depth)
		value := p.node(y.Content[i+1], depth+1)
		if !ok {
			continue
		}
		if line, twice := lines[key.Value]; twice {
			p.fail(CodeDuplicateKey, key.Pos, "remove one of them", "the key %q is written twice, first on line %d",
				brief(key.Value), line)
			continue
		}
		lines[key.Value] = key.Pos.Line
		n.Fields = append(n.Fields, Field{Key: key.Value, Pos: key.Pos, Value: value})
	}
}

// key reads a mapping's key, false where it cannot be one.
func (p *parser) key(y *yaml.Node, depth int) (*Node, bool) {
	if y.Kind == yaml.ScalarNode && y.Value == "<<" && !quoted(y) {
		p.fail(CodeMergeKey, p.at(y), "write the keys out", "the merge key << is not allowed")
		return nil, false
	}
	n := p.node(y, depth+1)
	if y.Kind == yaml.AliasNode {
		return nil, false
	}
	if n.Kind == Sequence || n.Kind == Mapping {
		p.fail(CodeKey, n.Pos, "write the key as text, and put text that begins with {, {{ or [ into quotes", "a list or a mapping cannot be a key")
		return nil, false
	}
	if _, text := n.Any().(string); !text {
		p.fail(CodeKey, n.Pos, `put it into quotes, such as "1"`, "the key %s is not text", orEmpty(n.Value))
		return nil, false
	}
	return n, true
}

func orEmpty(s string) string {
	if s == "" {
		return "(empty)"
	}
	return brief(s)
}

// brief keeps what a message quotes from the document readable.
func brief(s string) string {
	return diag.Brief(s, 60)
}
