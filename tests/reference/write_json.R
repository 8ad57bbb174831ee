# JSON that gives every double back exactly: jsonlite stops at 15 digits, a double needs 17.
to_json <- function(value, indent = 0) {
  if (is.null(value)) return("null")
  if (is.matrix(value)) value <- lapply(seq_len(nrow(value)), function(i) I(unname(value[i, ])))
  if (is.data.frame(value)) value <- lapply(value, I)
  if (!is.list(value)) return(atomic_to_json(value))
  if (!length(value)) return("{}")
  parts <- vapply(value, to_json, "", indent = indent + 1)
  named <- !is.null(names(value))
  if (named) parts <- paste0('"', names(value), '": ', parts)
  gap <- if (indent < 2) paste0("\n", strrep(" ", indent + 1)) else " "
  body <- paste(parts, collapse = paste0(",", gap))
  paste0(if (named) "{" else "[", if (indent < 2) gap, body, if (named) "}" else "]")
}

# A vector of one is a number, not an array, unless wrapped in I().
atomic_to_json <- function(value) {
  if (!length(value)) return("[]")
  text <- if (is.numeric(value)) sprintf("%.17g", value)
    else if (is.logical(value)) ifelse(value, "true", "false")
    else paste0('"', as.character(value), '"')
  text[is.na(value)] <- "null"
  if (length(value) == 1 && !inherits(value, "AsIs")) return(text)
  paste0("[", paste(text, collapse = ", "), "]")
}

write_json <- function(value, path) writeLines(to_json(value), path)
