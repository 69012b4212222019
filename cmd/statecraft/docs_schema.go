package main

import (
	"encoding/json"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/strict"
)

// schema is a JSON Schema.
type schema map[string]any

// writeManifestSchema writes the JSON Schema of manifests, for editors. It admits everything that check
// admits and a little more: what needs the whole machine, or the text of a value, is left to check.
func writeManifestSchema(w io.Writer) error {
	s := objectSchema(machine.Keys())
	s["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	s["title"] = "Statecraft machine"
	s["description"] = "A machine of Statecraft."
	groups := s["properties"].(schema)["groups"].(schema)
	mapping := groups["additionalProperties"].(schema) // a list of its states is short for it
	groups["additionalProperties"] = schema{"oneOf": []schema{mapping["properties"].(schema)["states"].(schema), mapping}}
	watcher := s["properties"].(schema)["watchers"].(schema)["items"].(schema)
	watcher["allOf"] = typeSchemas()
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(s)
}

// typeSchemas ties the properties of a watcher to its type.
func typeSchemas() []schema {
	var out []schema
	for _, t := range catalogue().Types() {
		if t.Unsupported != "" {
			continue
		}
		names := append([]string{t.Name}, t.Aliases...)
		out = append(out, schema{
			"if":   schema{"properties": schema{"type": schema{"enum": names}}, "required": []string{"type"}},
			"then": schema{"properties": schema{"properties": objectSchema(strict.Fields(t.Spec))}},
		})
	}
	return out
}

func objectSchema(fields []strict.FieldInfo) schema {
	properties := schema{}
	required := []string{}
	for _, f := range fields {
		for _, name := range append([]string{f.Name}, f.Aliases...) {
			properties[name] = fieldSchema(f)
		}
		if f.Required && len(f.Aliases) == 0 {
			required = append(required, f.Name)
		}
	}
	s := schema{"type": "object", "properties": properties, "additionalProperties": false}
	if len(required) > 0 {
		s["required"] = required
	}
	return s
}

func fieldSchema(f strict.FieldInfo) schema {
	s := shapeSchema(f.Type, f)
	if f.Default != "" {
		s["default"] = defaultValue(f)
	}
	return s
}

// shapeSchema describes a type as strict.Fields names it. Inner lists and maps are named in the plural.
func shapeSchema(kind string, f strict.FieldInfo) schema {
	if inner, ok := cutAny(kind, "list of ", "lists of "); ok {
		return schema{"type": "array", "items": shapeSchema(inner, f)}
	}
	if inner, ok := cutAny(kind, "map of ", "maps of "); ok {
		return schema{"type": "object", "additionalProperties": shapeSchema(inner, f)}
	}
	switch strings.TrimSuffix(kind, "s") {
	case "mapping":
		return objectSchema(f.Fields)
	case "string", "text", "condition":
		return stringSchema(f)
	case "duration":
		// Combinations such as 1h30m, or 0.
		return schema{"type": []string{"string", "integer"}, "pattern": `^(0|([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h|d|w|M|y))+$`}
	case "boolean":
		return schema{"type": []string{"boolean", "string"}}
	case "integer", "number":
		return numberSchema(strings.TrimSuffix(kind, "s"), f)
	default:
		return schema{}
	}
}

func cutAny(s string, prefixes ...string) (string, bool) {
	for _, p := range prefixes {
		if rest, ok := strings.CutPrefix(s, p); ok {
			return rest, true
		}
	}
	return s, false
}

// stringSchema admits what YAML reads as a number or a truth value, since it is text to the one who wrote it.
func stringSchema(f strict.FieldInfo) schema {
	if len(f.Enum) > 0 {
		return schema{"enum": slices.Concat(f.Enum, []string{""})}
	}
	return schema{"type": []string{"string", "number", "boolean"}}
}

// numberSchema admits numbers in quotes, as existing manifests have them.
func numberSchema(kind string, f strict.FieldInfo) schema {
	s := schema{"type": []string{kind, "string"}}
	for key, bound := range map[string]string{"minimum": f.Min, "maximum": f.Max} {
		if n, err := strconv.ParseFloat(bound, 64); err == nil {
			s[key] = n
		}
	}
	return s
}

// defaultValue writes a default as the type has it.
func defaultValue(f strict.FieldInfo) any {
	var v any
	if f.Type == "boolean" || f.Type == "integer" || f.Type == "number" {
		if json.Unmarshal([]byte(f.Default), &v) == nil {
			return v
		}
	}
	return f.Default
}
