# lme4's best of several optimisers for the data sets of tests/random_data.py.
# Arguments: a folder with <seed>.csv and fits.json (seed, formula, reml, x, moved), and the file to write.
# x is fitted as it comes and divided by its standard deviation (centred too where the model stays
# the same); the REML criterion then moves as log|X'X| does.
suppressMessages({library(lme4); library(jsonlite)})
arguments <- commandArgs(trailingOnly = TRUE)
entries <- fromJSON(file.path(arguments[1], "fits.json"))

tight <- list(
  lmerControl("bobyqa", optCtrl = list(maxfun = 1e5, rhoend = 1e-9)),
  lmerControl("Nelder_Mead", optCtrl = list(maxfun = 1e5, FtolAbs = 1e-10, XtolRel = 1e-10)),
  lmerControl("nloptwrap", optCtrl = list(algorithm = "NLOPT_LN_BOBYQA", maxeval = 1e5,
                                          xtol_abs = 1e-10, ftol_abs = 1e-10)),
  lmerControl("nloptwrap", optCtrl = list(algorithm = "NLOPT_LN_NELDERMEAD", maxeval = 1e5,
                                          xtol_abs = 1e-10, ftol_abs = 1e-10)))

best <- function(formula, data, reml) {
  values <- vapply(tight, function(control) tryCatch(
    as.numeric(-2 * logLik(suppressMessages(suppressWarnings(
      lmer(formula, data, REML = reml, control = control))))),
    error = function(error) NA_real_), 0)
  if (all(is.na(values))) NA_real_ else min(values, na.rm = TRUE)
}
refusal <- function(formula, data, reml) tryCatch({
  suppressMessages(suppressWarnings(lmer(formula, data, REML = reml))); "" },
  error = function(error) conditionMessage(error))

determinant_of <- function(formula, data) {
  # log|X'X| without overflow: columns scaled first
  x <- model.matrix(nobars(formula), data)
  if (!ncol(x)) return(0)
  norms <- sqrt(colSums(x^2))
  2 * sum(log(abs(diag(qr.R(qr(sweep(x, 2, norms, "/"), tol = 0)))))) + 2 * sum(log(norms))
}

fit_one <- function(i) {
  data <- read.csv(file.path(arguments[1], paste0(entries$seed[i], ".csv")), check.names = FALSE)
  formula <- as.formula(entries$formula[i])
  reml <- entries$reml[i]
  raw <- best(formula, data, reml)
  name <- entries$x[i]
  scaled <- data
  linear <- !grepl("poly|scale|log|\\^", entries$formula[i])
  unit <- sd(data[[name]])
  other <- NA_real_
  if (linear && is.finite(unit) && unit > 0) {
    centre <- if (entries$moved[i]) mean(data[[name]]) else 0
    scaled[[name]] <- (data[[name]] - centre) / unit
    shift <- if (reml) determinant_of(formula, data) - determinant_of(formula, scaled) else 0
    other <- best(formula, scaled, reml) + shift
  }
  list(seed = entries$seed[i], raw = raw, scaled = other, refusal = refusal(formula, data, reml))
}
found <- lapply(seq_len(nrow(entries)), fit_one)
write(toJSON(found, digits = NA, auto_unbox = TRUE), arguments[2])
