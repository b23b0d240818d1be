package server

import "github.com/labstack/echo/v4"

// extraRoute is a route, for GET, that is not an operation of a contract.
type extraRoute struct {
	path    string
	handler echo.HandlerFunc
}
