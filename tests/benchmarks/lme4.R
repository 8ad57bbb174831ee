# Time lme4 on the data sets of a benchmark. Arguments: a folder with design.csv and responses.bin
# (doubles, one data set after the other), the formula, "lmer" or "refit", and how often.
suppressMessages(library(lme4))
options(digits = 17)
arguments <- commandArgs(trailingOnly = TRUE)
folder <- arguments[1]
formula <- as.formula(arguments[2])
rounds <- as.integer(arguments[4])
data <- read.csv(file.path(folder, "design.csv"))
file <- file(file.path(folder, "responses.bin"), "rb")
values <- readBin(file, "double", file.size(file.path(folder, "responses.bin")) / 8)
close(file)
responses <- matrix(values, nrow = nrow(data))

fit <- function(y) { data$y <- y; lmer(formula, data) }
quietly <- function(code) suppressMessages(suppressWarnings(code))
# With a million rows there is no time to warm up.
first <- if (nrow(data) < 1e5) quietly(fit(responses[, 1]))
fit_one <- if (arguments[3] == "refit") function(y) refit(first, y) else fit
run <- function() vapply(seq_len(ncol(responses)), function(k)
  as.numeric(-2 * logLik(fit_one(responses[, k]))), 0)

seconds <- vapply(seq_len(rounds), function(round)
  sum(system.time(criteria <<- quietly(run()))[c("user.self", "sys.self")]), 0)
cat(jsonlite::toJSON(list(seconds = min(seconds), criteria = criteria,
                          version = as.character(packageVersion("lme4"))),
                     digits = NA, auto_unbox = TRUE))
