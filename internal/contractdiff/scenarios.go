package contractdiff

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"github.com/getkin/kin-openapi/openapi3"

	"gatehouse/conformance"
)

// scenariosDir has the scenarios, relative to the root of the repository.
const scenariosDir = contractsDir + "/scenarios"

// scenarioTasks lists the outcomes without a scenario, and the scenarios of what is gone, for all contracts of the
// repository at root.
func scenarioTasks(root string, contracts []*openapi3.T) ([]Task, error) {
	dir := filepath.Join(root, filepath.FromSlash(scenariosDir))
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	spec, err := conformance.NewSpec(contracts...)
	if err != nil {
		return nil, err
	}
	_, err = conformance.Load(spec, os.DirFS(dir), path.Clean(scenariosDir))
	var tasks []Task
	for _, problem := range conformance.Problems(err) {
		tasks = append(tasks, Task{problem.File, problem.Line, problem.Message})
	}
	if err != nil && tasks == nil {
		return nil, err
	}
	return tasks, nil
}
