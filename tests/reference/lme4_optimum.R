# lme4 fits at their exact optima. lme4's own optimiser can stop at a false boundary, so each
# criterion is minimised from several starts with tight settings, the boundary itself is tried, and
# the best result is kept.
suppressMessages({library(lme4); library(minqa)})

# Multiples of the identity, each with and without correlation of either sign.
starting_points <- function(reTrms) {
  starts <- list()
  for (scale in c(1, .2, 3)) for (off in c(0, .5, -.5))
    starts[[length(starts) + 1]] <- scale * ifelse(reTrms$lower == 0, 1, off)
  unique(starts)
}

minimise <- function(criterion, start, lower) {
  if (length(start) == 1) {
    best <- optimize(criterion, c(0, 10 * max(start, 1)), tol = 1e-10)
    return(list(par = best$minimum, value = best$objective))
  }
  first <- bobyqa(start, criterion, lower, control = list(rhobeg = .1, rhoend = 1e-9, maxfun = 2e4))
  again <- bobyqa(first$par, criterion, lower,
                  control = list(rhobeg = 1e-3, rhoend = 1e-10, maxfun = 2e4))
  list(par = again$par, value = again$fval)
}

# Hold the diagonal elements `at_zero` at 0 and minimise over the rest.
minimise_on_boundary <- function(criterion, start, lower, at_zero) {
  free <- setdiff(seq_along(start), at_zero)
  whole <- function(part) replace(numeric(length(start)), free, part)
  if (!length(free)) return(list(par = whole(numeric()), value = criterion(whole(numeric()))))
  inside <- minimise(function(part) criterion(whole(part)), start[free], lower[free])
  list(par = whole(inside$par), value = inside$value)
}

optimum <- function(criterion, reTrms) {
  lower <- reTrms$lower
  found <- lapply(starting_points(reTrms), function(start) minimise(criterion, start, lower))
  best <- found[[which.min(vapply(found, `[[`, 0, "value"))]]
  none <- 0 * best$par
  if (all(abs(best$par) < 1e-4)) return(list(par = none, value = criterion(none)))
  at_zero <- which(lower == 0 & best$par < .01)
  if (!length(at_zero)) return(best)
  boundary <- minimise_on_boundary(criterion, best$par, lower, at_zero)
  if (boundary$value <= best$value + 1e-9) boundary else best
}

fit_exactly <- function(formula, data, REML) {
  parts <- lFormula(formula, data, REML = REML)
  criterion <- do.call(mkLmerDevfun, parts)
  best <- optimum(criterion, parts$reTrms)
  # The fitted model is read off the state left by the last evaluation.
  criterion(best$par)
  mkMerMod(environment(criterion),
           list(par = best$par, fval = best$value, conv = 0, feval = NA, message = ""),
           parts$reTrms, fr = parts$fr)
}
