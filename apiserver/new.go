package apiserver

import (
	"fmt"

	"github.com/labstack/echo/v4"

	"gatehouse/contract"
)

// New returns a server. It fails if the configuration is incomplete, or if contract, configuration and routes disagree:
// each operation must have a route, and a security scheme that is implemented. The type of the application's request
// follows from the configuration:
//
//	server, err := apiserver.New(apiserver.Config[*request]{…})
func New[R any, P interface {
	*R
	AnyRequest
}](cfg Config[P]) (*Server, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	s := &Server{
		contract: cfg.Contract, admission: admissionOf(cfg), bodies: newBodyReader(cfg.Limits, cfg.Conversions),
		responses: newResponseChecks(cfg.CheckResponses, cfg.Log, cfg.Hooks.Departed),
		limits:    cfg.Limits, hooks: hooksOf(cfg), basePath: cfg.BasePath,
		log: cfg.Log, samples: samples{share: 1 - cfg.UnloggedRequests}, publicParams: cfg.PublicParams,
		echo: echo.New(),
	}
	if err := s.admission.check(cfg.Contract); err != nil {
		return nil, err
	}
	if err := s.addRoutes(cfg.Routes); err != nil {
		return nil, err
	}
	compressed, err := compress(s.echo, cfg.Compress)
	s.handler = limitUnreadBodies(uncached(normalPaths(headAsGET(compressed), s.basePath)))
	return s, err
}

// check fails if an operation of the contract requires what the configuration does not implement.
func (a *admission) check(known *contract.Contract) error {
	for op := range known.Operations() {
		for _, scheme := range op.Schemes {
			if a.schemes[scheme.Name] == nil {
				return fmt.Errorf("contract: %s requires %q, which Config.Schemes lacks", op.ID, scheme.Name)
			}
		}
		switch {
		case op.Permission != nil && op.Scheme == "":
			return fmt.Errorf("contract: %s has x-permission, but does not authenticate a user", op.ID)
		case op.Permission != nil && a.authorise == nil:
			return fmt.Errorf("contract: %s has x-permission, but there is no Config.Authorise", op.ID)
		}
	}
	return nil
}
