package contractcmd

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"

	"gatehouse/conformance"
)

// publishedVersion is the version of Tyk Dashboard that gatehouse follows.
const publishedVersion = "5.11"

// published returns the published contracts of a version, or nil for "".
func (cfg Config) published(version string) (*conformance.Published, error) {
	if version == "" {
		return nil, nil
	}
	names, err := fs.Glob(cfg.Published, "*-"+version+".yml")
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("--published: there is no version %s, but %s", version, strings.Join(cfg.versions(), ", "))
	}
	var documents []*openapi3.T
	for _, name := range names {
		text, err := fs.ReadFile(cfg.Published, name)
		if err != nil {
			return nil, err
		}
		document, err := openapi3.NewLoader().LoadFromData(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		documents = append(documents, document)
	}
	return conformance.NewPublished(documents...), nil
}

// versions returns the versions of the published contracts.
func (cfg Config) versions() (versions []string) {
	names, _ := fs.Glob(cfg.Published, "*.yml") // the pattern is valid
	for _, name := range names {
		name = strings.TrimSuffix(name, ".yml")
		versions = append(versions, name[strings.LastIndex(name, "-")+1:])
	}
	slices.Sort(versions)
	return slices.Compact(versions)
}
