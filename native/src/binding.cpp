#include <nanobind/nanobind.h>
NB_MODULE(_engine, m) { m.attr("version") = "0.1.0"; }
