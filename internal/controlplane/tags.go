package controlplane

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/agentsession/agentsession/api/v1alpha1"
	"github.com/agentsession/agentsession/internal/awswire"
)

// AnnotationTags has a runtime's tags, as a JSON object. They are no part of a version.
const AnnotationTags = "runtime.agentsession.dev/tags"

const maxTags = 50

func checkTags(tags map[string]string) error {
	if len(tags) > maxTags {
		return awswire.Invalid("tags", fmt.Sprintf("Value at 'tags' failed to satisfy constraint: Member must have length less than or equal to %d, and has %d", maxTags, len(tags)))
	}
	for key, value := range tags {
		switch {
		case key == "" || utf8.RuneCountInString(key) > 128 || !isTag.MatchString(key):
			return broken("tags", key, "Map keys must have length from 1 to 128, and satisfy regular expression pattern: [a-zA-Z0-9\\s._:/=+@-]*")
		case utf8.RuneCountInString(value) > 256 || !isTag.MatchString(value):
			return broken("tags", value, "Map values must have length up to 256, and satisfy regular expression pattern: [a-zA-Z0-9\\s._:/=+@-]*")
		case strings.HasPrefix(strings.ToLower(key), "aws:"):
			return broken("tags", key, "Map keys must not begin with aws:, which is AWS's own")
		}
	}
	return nil
}

// setTags writes a runtime's tags.
func setTags(agent *v1alpha1.AgentRuntime, tags map[string]string) error {
	return setAnnotation(agent, AnnotationTags, tags, len(tags) == 0)
}

// setAnnotation writes a value as JSON, or takes it away if it is empty.
func setAnnotation(agent *v1alpha1.AgentRuntime, name string, value any, empty bool) error {
	if empty {
		delete(agent.Annotations, name)
		return nil
	}
	raw, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("write the annotation %s: %w", name, err)
	}
	if agent.Annotations == nil {
		agent.Annotations = map[string]string{}
	}
	agent.Annotations[name] = string(raw)
	return nil
}
