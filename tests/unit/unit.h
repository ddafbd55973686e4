/* unit.h - what every unit test includes: cmocka in its required order, and helpers. */
#ifndef PM_TESTS_UNIT_H
#define PM_TESTS_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/base.h"
#include "proto/error.h"

#endif
