package messaging

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/google/uuid"

	"github.com/statecraft-io/statecraft/watchers"
)

// eventSpec is the attributes of a CloudEvent (version 1.0, structured mode, JSON).
type eventSpec struct {
	// Type is the event's type, such as io.choria.lifecycle.v1.alive.
	Type watchers.Text `yaml:"type,required"`
	// Source is where the event comes from, a URI reference such as io.choria.lifecycle.
	Source watchers.Text `yaml:"source,required"`
	// Subject is what the event is about; by default the identity.
	Subject watchers.Text `yaml:"subject"`
	// ID is an expression for the event's id, a text; by default every look makes a new one. What is told again, because nobody answered, has
	// the same.
	ID *watchers.Formula `yaml:"id" gives:"text"`
}

func (s *eventSpec) id(look *watchers.Look) (string, error) {
	if s.ID == nil {
		return uuid.NewString(), nil
	}
	id, err := s.ID.Text(look, nil)
	if err == nil && id == "" {
		err = errors.New("the text is empty")
	}
	return id, err
}

// wrap makes the event of a body. A text that is JSON is taken as that.
func (s *eventSpec) wrap(look *watchers.Look, body any) ([]byte, error) {
	var attributes [3]string
	for i, text := range []watchers.Text{s.Type, s.Source, s.Subject} {
		var err error
		if attributes[i], err = look.Expand(text); err != nil {
			return nil, fmt.Errorf("making the event: %w", err)
		}
	}
	e := event.New()
	id, err := s.id(look)
	if err != nil {
		return nil, fmt.Errorf("making the event's id: %w", err)
	}
	e.SetID(id)
	e.SetTime(look.At)
	e.SetType(attributes[0])
	e.SetSource(attributes[1])
	e.SetSubject(cmp.Or(attributes[2], look.Identity))
	if text, ok := body.(string); ok && json.Valid([]byte(text)) {
		body = json.RawMessage(text)
	}
	if body != nil {
		if err := e.SetData(event.ApplicationJSON, body); err != nil {
			return nil, fmt.Errorf("making the event's data: %w", err)
		}
	}
	encoded, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("making the event: %w", err)
	}
	return encoded, nil
}
